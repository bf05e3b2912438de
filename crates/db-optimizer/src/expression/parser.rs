//! Recursive descent over the tokens of a printed expression.

use ruleiq_query::{Token, TokenKind, tokens};

use super::{ColumnRef, Expression, Kind, SortKey, is_column, is_name, name_of};

/// Deeper nesting is kept as text.
const MAX_DEPTH: usize = 64;

/// The characters of operators (manual, section 4.1.3).
const OPERATOR: &str = "+-*/<>=~!@#%^&|`?";

/// What may follow the first word of a type's name.
const TYPE_WORDS: [&str; 6] = ["without", "with", "time", "zone", "precision", "varying"];

/// Reads an expression; what cannot be read is [`Kind::Other`].
pub(crate) fn parse(text: &str) -> Expression {
    let mut parser = Parser::new(text);
    match parser.expression() {
        Some(expression) if parser.is_at_end() => expression,
        _ => other(text),
    }
}

/// Reads an entry of `Sort Key`.
pub(crate) fn parse_sort_key(text: &str) -> SortKey {
    let mut parser = Parser::new(text);
    let by = parser.expression().unwrap_or_else(|| other(text));
    let mut key = SortKey {
        by,
        descending: false,
        nulls_first: false,
        is_special: false,
    };
    let mut nulls = None;
    while let Some(token) = parser.next() {
        match token.text {
            "DESC" => key.descending = true,
            "NULLS" => nulls = parser.next().map(|it| it.text == "FIRST"),
            _ => key.is_special = true,
        }
    }
    key.nulls_first = nulls.unwrap_or(key.descending);
    key
}

fn other(text: &str) -> Expression {
    Expression {
        text: text.to_owned(),
        kind: Kind::Other,
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parser<'a> {
        Parser {
            text,
            tokens: tokens(text).collect(),
            at: 0,
            depth: 0,
        }
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    fn peek(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek(0);
        self.at += 1;
        token
    }

    fn is_next(&self, text: &str) -> bool {
        self.peek(0).is_some_and(|it| it.text == text)
    }

    /// Goes past this token, if it is the next.
    fn eat(&mut self, text: &str) -> bool {
        let is_next = self.is_next(text);
        self.at += usize::from(is_next);
        is_next
    }

    /// An expression from this token to the last one read.
    fn made(&self, from: usize, kind: Kind) -> Expression {
        let (first, last) = (self.tokens[from], self.tokens[self.at - 1]);
        Expression {
            text: self.text[first.start..last.end()].to_owned(),
            kind,
        }
    }

    /// What stands between two parentheses, or is the whole text.
    fn expression(&mut self) -> Option<Expression> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let expression = self.expression_within();
        self.depth -= 1;
        expression
    }

    fn expression_within(&mut self) -> Option<Expression> {
        let from = self.at;
        if self.eat("NOT") {
            let inner = Box::new(self.expression()?);
            return Some(self.made(from, Kind::Not(inner)));
        }
        let left = self.operand()?;
        match self.peek(0) {
            Some(it) if it.text == "AND" || it.text == "OR" => self.joined(from, left, it.text),
            Some(it) if it.text == "IS" => self.is_something(from, left),
            Some(it) if OPERATOR.contains(it.text) => self.binary(from, left),
            _ => Some(left),
        }
    }

    /// More conditions, joined by the same word.
    fn joined(&mut self, from: usize, first: Expression, word: &str) -> Option<Expression> {
        let mut parts = vec![first];
        while self.eat(word) {
            let part_from = self.at;
            parts.push(if self.eat("NOT") {
                let inner = Box::new(self.operand()?);
                self.made(part_from, Kind::Not(inner))
            } else {
                self.operand()?
            });
        }
        let kind = if word == "AND" {
            Kind::And(parts)
        } else {
            Kind::Or(parts)
        };
        Some(self.made(from, kind))
    }

    /// `IS NULL` and its like.
    fn is_something(&mut self, from: usize, left: Expression) -> Option<Expression> {
        self.next();
        let negated = self.eat("NOT");
        if self.eat("NULL") {
            let of = Box::new(left);
            return Some(self.made(from, Kind::IsNull { of, negated }));
        }
        if self.eat("DISTINCT") {
            self.eat("FROM");
            self.operand()?;
        } else {
            self.next()?;
        }
        Some(self.made(from, Kind::Other))
    }

    fn binary(&mut self, from: usize, left: Expression) -> Option<Expression> {
        let operator = self.operator();
        let quantified = self.peek(1).is_some_and(|it| it.text == "(");
        let any = quantified && self.eat("ANY");
        if quantified && !any && self.eat("ALL") {
            self.operand()?;
            return Some(self.made(from, Kind::Other));
        }
        let (left, right) = (Box::new(left), Box::new(self.operand()?));
        let kind = Kind::Binary {
            operator,
            left,
            right,
            any,
        };
        Some(self.made(from, kind))
    }

    /// The operator characters that touch each other.
    fn operator(&mut self) -> String {
        let mut operator = String::new();
        let mut end = self.peek(0).map_or(0, |it| it.start);
        while let Some(token) = self.peek(0)
            && token.start == end
            && OPERATOR.contains(token.text)
        {
            operator.push_str(token.text);
            end = token.end();
            self.at += 1;
        }
        operator
    }

    /// A value with the casts and subscripts that follow it.
    fn operand(&mut self) -> Option<Expression> {
        let from = self.at;
        let mut operand = self.primary()?;
        loop {
            if self.is_next(":") && self.peek(1).is_some_and(|it| it.text == ":") {
                self.at += 2;
                let to = self.type_name()?;
                let of = Box::new(operand);
                operand = self.made(from, Kind::Cast { of, to });
            } else if self.is_next("[") {
                self.skip_group("[", "]")?;
                operand = self.made(from, Kind::Other);
            } else if self.is_next("AT") || self.is_next("COLLATE") {
                self.next();
                while self.is_next("TIME") || self.is_next("ZONE") {
                    self.next();
                }
                self.primary()?;
                operand = self.made(from, Kind::Other);
            } else {
                return Some(operand);
            }
        }
    }

    /// The name of a type: `timestamp(3) without time zone`, `s."T"`, `text[]`.
    fn type_name(&mut self) -> Option<String> {
        let from = self.at;
        self.next().filter(is_name)?;
        while self.eat(".") {
            self.next().filter(is_name)?;
        }
        loop {
            if self.is_next("(") {
                self.skip_group("(", ")")?;
            } else if self.is_next("[") {
                self.skip_group("[", "]")?;
            } else if self.peek(0).is_some_and(|it| TYPE_WORDS.contains(&it.text)) {
                self.next();
            } else {
                return Some(self.made(from, Kind::Other).text);
            }
        }
    }

    fn primary(&mut self) -> Option<Expression> {
        let from = self.at;
        let token = self.peek(0)?;
        match token.kind {
            TokenKind::String | TokenKind::Number => {
                self.next();
                Some(self.made(from, Kind::Constant))
            }
            TokenKind::Parameter => {
                self.next();
                Some(self.made(from, Kind::Parameter))
            }
            TokenKind::Symbol if token.text == "(" => self.parenthesized(from),
            TokenKind::Symbol if token.text == "-" => {
                self.next();
                let inner = self.primary()?;
                let kind = if inner.is_constant() {
                    Kind::Constant
                } else {
                    Kind::Other
                };
                Some(self.made(from, kind))
            }
            TokenKind::Symbol => None,
            TokenKind::Word | TokenKind::QuotedIdentifier => self.named(from),
        }
    }

    fn parenthesized(&mut self, from: usize) -> Option<Expression> {
        let is_plan = |it: Token<'_>| matches!(it.text, "SubPlan" | "hashed" | "InitPlan" | "CTE");
        if self.peek(1).is_some_and(is_plan) {
            self.skip_group("(", ")")?;
            return Some(self.made(from, Kind::Other));
        }
        self.next();
        let inner = self.expression()?;
        if self.is_next(",") {
            self.at = from;
            self.skip_group("(", ")")?;
            return Some(self.made(from, Kind::Other));
        }
        if !self.eat(")") {
            return None;
        }
        // The parentheses belong to the text, so that it can be used where it came from.
        Some(match inner.kind {
            Kind::Column(_) | Kind::Constant | Kind::Parameter => inner,
            kind => self.made(from, kind),
        })
    }

    /// A column, a function call or a keyword.
    fn named(&mut self, from: usize) -> Option<Expression> {
        let first = self.next()?;
        if first.text == "CASE" {
            return self.case(from);
        }
        if matches!(first.text, "true" | "false" | "NULL") {
            return Some(self.made(from, Kind::Constant));
        }
        let mut name = first;
        let mut qualifier = None;
        while self.is_next(".") && self.peek(1).is_some_and(|it| is_column(&it)) {
            self.next();
            qualifier = Some(name);
            name = self.next()?;
        }
        if self.is_next("(") {
            return self.call(from, &name);
        }
        if self.is_next("[") && name.text == "ARRAY" {
            self.skip_group("[", "]")?;
        }
        let kind = match qualifier {
            Some(alias) => Kind::Column(ColumnRef {
                alias: name_of(&alias),
                column: name_of(&name),
            }),
            None => Kind::Other,
        };
        Some(self.made(from, kind))
    }

    fn call(&mut self, from: usize, name: &Token<'_>) -> Option<Expression> {
        let open = self.at;
        let arguments = self.arguments();
        self.at = open;
        self.skip_group("(", ")")?;
        let kind = match arguments {
            Some(arguments) => Kind::Function {
                name: name_of(name),
                arguments,
            },
            None => Kind::Other,
        };
        Some(self.made(from, kind))
    }

    fn arguments(&mut self) -> Option<Vec<Expression>> {
        self.next();
        let mut arguments = Vec::new();
        if self.eat(")") {
            return Some(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if self.eat(")") {
                return Some(arguments);
            }
            if !self.eat(",") {
                return None;
            }
        }
    }

    fn case(&mut self, from: usize) -> Option<Expression> {
        let mut depth = 1;
        while depth > 0 {
            let token = self.next()?;
            if token.is_word("case") {
                depth += 1;
            } else if token.is_word("end") {
                depth -= 1;
            }
        }
        Some(self.made(from, Kind::Other))
    }

    /// Goes past the group that opens here, with all groups in it.
    fn skip_group(&mut self, open: &str, close: &str) -> Option<()> {
        let mut depth = 0;
        loop {
            let token = self.next()?;
            if token.text == open {
                depth += 1;
            } else if token.text == close {
                depth -= 1;
                if depth == 0 {
                    return Some(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(it: &Expression) -> String {
        let many = |them: &[Expression]| them.iter().map(shape).collect::<Vec<_>>().join(" ");
        match &it.kind {
            Kind::And(parts) => format!("and[{}]", many(parts)),
            Kind::Or(parts) => format!("or[{}]", many(parts)),
            Kind::Not(inner) => format!("not[{}]", shape(inner)),
            Kind::Binary {
                operator,
                left,
                right,
                any,
            } => {
                let any = if *any { " any" } else { "" };
                format!("({} {operator}{any} {})", shape(left), shape(right))
            }
            Kind::IsNull { of, negated } => {
                format!("{}null[{}]", if *negated { "not" } else { "" }, shape(of))
            }
            Kind::Column(it) => format!("{}/{}", it.alias, it.column),
            Kind::Constant => "c".into(),
            Kind::Parameter => "p".into(),
            Kind::Cast { of, to } => format!("{}::{to}", shape(of)),
            Kind::Function { name, arguments } => format!("{name}[{}]", many(arguments)),
            Kind::Other => "?".into(),
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(shape(&parse(text)), expected, "{text}");
    }

    #[test]
    fn conditions_are_read_as_they_are_printed() {
        check("(t.a = 1)", "(t/a = c)");
        check(
            "((t.a >= '1994-01-01'::date) AND (t.b < '2 days'::interval) AND (NOT t.c))",
            "and[(t/a >= c::date) (t/b < c::interval) not[t/c]]",
        );
        check(
            "(t.a < '1995-01-01 00:00:00'::timestamp without time zone)",
            "(t/a < c::timestamp without time zone)",
        );
        check(
            "((t.a)::text = ANY ('{x,y}'::text[]))",
            "(t/a::text = any c::text[])",
        );
        check("(\"T\".\"a \"\"b\" IS NOT NULL)", "notnull[T/a \"b]");
        check("(t.a IS NULL)", "null[t/a]");
        check(
            "((t.a = $1) OR (t.b ~~ 'x%'::text))",
            "or[(t/a = p) (t/b ~~ c::text)]",
        );
        check(
            "(lower((u.email)::text) = 'x'::text)",
            "(lower[u/email::text] = c::text)",
        );
        check("(t.a = (SubPlan 1))", "(t/a = ?)");
        check("(NOT (hashed SubPlan 1))", "not[?]");
        check("(ROW(t.a, t.b) < ROW(1, 2))", "(ROW[t/a t/b] < ROW[c c])");
        check("(t.a = '-5'::integer)", "(t/a = c::integer)");
        check("CASE WHEN (t.a = 1) THEN t.b ELSE 0 END", "?");
        check(
            "(EXTRACT(year FROM t.a) = '1'::numeric)",
            "(? = c::numeric)",
        );
        check(
            "((t.j ->> 'k'::text) = 'v'::text)",
            "((t/j ->> c::text) = c::text)",
        );
        check("s.f(t.a)", "f[t/a]");
    }

    #[test]
    fn what_is_not_understood_keeps_its_columns() {
        let odd = parse("t.a ??? (u.b AND");
        assert_eq!(odd.kind, Kind::Other);
        assert_eq!(odd.columns().len(), 2);
    }

    #[test]
    fn an_index_is_told_the_columns_alone() {
        let text = "lower((\"My T\".\"E mail\")::text)";
        assert_eq!(parse(text).unqualified(), "lower((\"E mail\")::text)");
        assert_eq!(
            parse("(t.a || pg_catalog.f(t.b))").unqualified(),
            "(a || pg_catalog.f(b))"
        );
    }

    #[test]
    fn a_sort_key_has_a_direction_and_a_place_for_nulls() {
        let check = |text: &str, descending, nulls_first, is_special| {
            let key = parse_sort_key(text);
            let found = (key.descending, key.nulls_first, key.is_special);
            assert_eq!(found, (descending, nulls_first, is_special), "{text}");
        };
        check("t.a", false, false, false);
        check("t.a DESC", true, true, false);
        check("t.a DESC NULLS LAST", true, false, false);
        check("t.a NULLS FIRST", false, true, false);
        check("t.a COLLATE \"C\"", false, false, false);
        check("(sum(t.a)) DESC", true, true, false);
        check("t.a USING ~<~", false, false, true);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in r#"[at.()='$1:\[\] ANDORNOTCASE"]{0,60}"#) {
            let expression = parse(&text);
            prop_assert!(text.contains(&expression.text));
        }
    }
}
