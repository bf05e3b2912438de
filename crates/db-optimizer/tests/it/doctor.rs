//! The doctor's rules: each with a statement or a plan that it is for, and one that it leaves alone.

mod real;
mod texts;
