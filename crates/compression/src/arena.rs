//! Memory that brotli encodes in, one body after the other.
//!
//! Its encoder cannot be reset, and each new one asks for all its memory anew, which the system hands out page by page
//! and clears. An arena gives each encoder what the one before it had.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
};

use brotli::enc::{Allocator, BrotliAlloc, SliceWrapper, SliceWrapperMut, command::Command};

/// The most that is kept, in bytes. What one large body has blown up beyond that goes back to the system.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Cells by their type, each as a [`Shelf`].
#[derive(Default)]
pub(crate) struct Arena {
    shelves: HashMap<TypeId, Box<dyn Any + Send>>,
    kept_bytes: usize,
}

/// Cells that nobody uses.
type Shelf<T> = Vec<Cells<T>>;

/// What an encoder asks for at once.
#[derive(Debug, Default)]
pub(crate) struct Cells<T>(Vec<T>);

impl Arena {
    /// How much is kept for the next encoder, in bytes.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    fn shelf<T: Send + 'static>(&mut self) -> &mut Shelf<T> {
        let shelf = self.shelves.entry(TypeId::of::<T>());
        let shelf = shelf.or_insert_with(|| Box::new(Shelf::<T>::new()));
        shelf.downcast_mut().expect("it is found by its type")
    }
}

impl<T: Clone + Default + Send + 'static> Allocator<T> for Arena {
    type AllocatedMemory = Cells<T>;

    /// As new: nothing is left of what was in it; but for commands, of which brotli counts those that it has written, and
    /// reads no others. They are most of the memory that a small body needs.
    fn alloc_cell(&mut self, len: usize) -> Cells<T> {
        let shelf = self.shelf::<T>();
        // The smallest one that has the room, so that a large one is there for who needs it.
        let fitting = (0..shelf.len()).filter(|at| shelf[*at].0.capacity() >= len);
        let best = fitting.min_by_key(|at| shelf[*at].0.capacity());
        // Where none has, the largest one goes: encoders ask for more and more of the same, and what they had would stay.
        let largest = (0..shelf.len()).max_by_key(|at| shelf[*at].0.capacity());
        let taken = best.or(largest).map(|at| shelf.swap_remove(at));
        let mut cells = taken.unwrap_or_default();
        self.kept_bytes -= cells.size();
        if cells.0.capacity() < len {
            cells = Cells(Vec::with_capacity(len));
        }
        if TypeId::of::<T>() != TypeId::of::<Command>() {
            cells.0.clear();
        }
        cells.0.resize(len, T::default());
        cells
    }

    fn free_cell(&mut self, cells: Cells<T>) {
        if cells.0.capacity() > 0 && self.kept_bytes + cells.size() <= MOST_BYTES {
            self.kept_bytes += cells.size();
            self.shelf().push(cells);
        }
    }
}

impl BrotliAlloc for Arena {}

impl<T> Cells<T> {
    fn size(&self) -> usize {
        self.0.capacity() * size_of::<T>()
    }
}

impl<T> SliceWrapper<T> for Cells<T> {
    fn slice(&self) -> &[T] {
        &self.0
    }
}

impl<T> SliceWrapperMut<T> for Cells<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("kept_bytes", &self.kept_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_used_again_and_as_new() {
        let mut arena = Arena::default();
        let mut cells: Cells<u32> = arena.alloc_cell(100);
        cells.slice_mut().fill(7);
        let place = cells.slice().as_ptr();
        arena.free_cell(cells);
        assert_eq!(arena.kept_bytes(), 400);
        let again: Cells<u32> = arena.alloc_cell(50);
        assert_eq!((again.slice().as_ptr(), arena.kept_bytes()), (place, 0));
        assert_eq!(again.slice(), [0; 50]);
        // Another type has its own.
        let other: Cells<u8> = arena.alloc_cell(1);
        let all = again.size() + other.size();
        arena.free_cell(again);
        arena.free_cell(other);
        assert_eq!(arena.kept_bytes(), all);
    }

    #[test]
    fn the_smallest_that_fits_is_taken() {
        let mut arena = Arena::default();
        let sizes = [1_000, 10, 100];
        let cells = sizes.map(|it| Allocator::<u8>::alloc_cell(&mut arena, it));
        for cells in cells {
            arena.free_cell(cells);
        }
        let fitting: Cells<u8> = arena.alloc_cell(50);
        assert_eq!(fitting.0.capacity(), 100);
        // The largest is too small, and goes.
        let large: Cells<u8> = arena.alloc_cell(5_000);
        assert_eq!(large.slice().len(), 5_000);
        assert_eq!(arena.kept_bytes(), 10);
    }

    #[test]
    fn who_asks_for_more_and_more_of_the_same_leaves_one() {
        let mut arena = Arena::default();
        for len in (1_000..1_000_000).step_by(1_000) {
            let cells: Cells<u8> = arena.alloc_cell(len);
            arena.free_cell(cells);
            assert_eq!(arena.kept_bytes(), len);
        }
        let cells: Cells<u8> = arena.alloc_cell(MOST_BYTES + 1);
        arena.free_cell(cells);
        assert_eq!(arena.kept_bytes(), 0);
    }
}
