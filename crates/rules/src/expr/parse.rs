//! Text to expression tree, through minijinja's parser.
//!
//! The text is looked over first: what would nest or chain so deeply that the
//! parser's recursion is in danger is refused. When the parser gives up, the
//! tokens are searched for what people write by habit from other languages, so
//! that the error says what to write instead.

use minijinja::{
    Error,
    machinery::{Span, Token, ast, parse_expr, tokenize},
};

use super::{
    ExprError,
    convert::{Converter, Names},
    tree::Expr,
};

/// In bytes: a condition or template is written by a person.
const LONGEST_TEXT: usize = 64 * 1024;
const MOST_TOKENS: usize = 20_000;
const MOST_OPERATORS: usize = 4_000;
const DEEPEST_BRACKETS: usize = 30;
const MOST_PREFIXES: usize = 16;
const MOST_BRANCHES: usize = 50;

/// Parses a condition.
pub(super) fn condition(text: &str) -> Result<Expr, ExprError> {
    if text.trim().is_empty() {
        return Err(ExprError::new("the condition is empty", 0, text.len()));
    }
    look_over(text, Place::Condition)?;
    let tree = parse_expr(text).map_err(|error| explain(text, Place::Condition, &error))?;
    Converter::new(text).expr(&tree, &Names::default())
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Condition,
    Template,
}

impl Place {
    fn tokens<'t>(
        self,
        text: &'t str,
    ) -> impl Iterator<Item = Result<(Token<'t>, Span), Error>> + use<'t> {
        tokenize(text, self == Self::Condition, Default::default())
    }
}

/// Refuses what would cost too much to parse.
pub(crate) fn look_over(text: &str, place: Place) -> Result<(), ExprError> {
    let whole = |what: &str| Err(ExprError::new(what, 0, text.len()));
    if text.len() > LONGEST_TEXT {
        return whole("the text is longer than 64 KiB");
    }
    let mut operators = 0;
    let mut brackets: usize = 0;
    let mut prefixes = 0;
    let mut branches = 0;
    let mut blocks = 0;
    for (count, token) in place.tokens(text).enumerate() {
        // The parser meets the same error and it is explained then.
        let Ok((token, span)) = token else { break };
        let here = |what: &str| {
            let (start, end) = (span.start_offset as usize, span.end_offset as usize);
            Err(ExprError::new(what, start, end.saturating_sub(start)))
        };
        if count >= MOST_TOKENS {
            return whole("the text has too many parts");
        }
        match token {
            Token::Ident("not") | Token::Minus => prefixes += 1,
            _ => prefixes = 0,
        }
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => brackets += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                brackets = brackets.saturating_sub(1);
            }
            Token::Ident("else" | "elif") => branches += 1,
            Token::BlockStart => blocks += 1,
            Token::VariableEnd | Token::BlockEnd => operators = 0,
            Token::Ident("and" | "or" | "is" | "in" | "if")
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::FloorDiv
            | Token::Pow
            | Token::Mod
            | Token::Dot
            | Token::Tilde
            | Token::Pipe
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte => operators += 1,
            _ => {}
        }
        if brackets > DEEPEST_BRACKETS || prefixes > MOST_PREFIXES {
            return here("this is nested too deeply");
        }
        if operators > MOST_OPERATORS || branches > MOST_BRANCHES || blocks > 2 * MOST_BRANCHES {
            return here("the text is too complicated");
        }
    }
    Ok(())
}

/// What the parser's error means to the person who wrote the text.
pub(crate) fn explain(text: &str, place: Place, error: &Error) -> ExprError {
    if let Some(habit) = find_habit(text, place) {
        return habit;
    }
    // The lexer's errors are one byte long, whatever stands there.
    let range = error.range().unwrap_or(0..text.len());
    let start = text.floor_char_boundary(range.start.min(text.len()));
    let end = text.ceil_char_boundary(range.end.clamp(start, text.len()));
    let message = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    let mut found = ExprError::new(message, start, end - start);
    if text.get(start..end) == Some("if") || text.contains(" elif ") {
        found.hint = Some("a choice is written `a if condition else b`".to_owned());
    }
    found
}

/// Searches for what other languages write.
fn find_habit(text: &str, place: Place) -> Option<ExprError> {
    let mut before: Vec<(Token<'_>, Span)> = Vec::new();
    let mut brackets: i32 = 0;
    for token in place.tokens(text) {
        let (token, span) = match token {
            Ok(found) => found,
            Err(error) => return unreadable(text, &error),
        };
        let start = span.start_offset as usize;
        let end = span.end_offset as usize;
        let last = before.last().map(|(token, _)| token);
        let touches = before
            .last()
            .is_some_and(|(_, span)| span.end_offset as usize == start);
        match (&token, last) {
            (Token::BraceOpen | Token::Mod, Some(Token::BraceOpen))
                if touches && place == Place::Condition =>
            {
                return Some(
                    ExprError::new("a condition is an expression already", start - 1, 2)
                        .hint("write it without `{{ }}` and `{% %}`"),
                );
            }
            (Token::Pipe, Some(Token::Pipe)) if touches => {
                return Some(
                    ExprError::new("`||` is not an operator", start - 1, 2).hint("write `or`"),
                );
            }
            (Token::Assign, Some(Token::Eq | Token::Ne)) if touches => {
                let good = if matches!(last, Some(Token::Eq)) {
                    "=="
                } else {
                    "!="
                };
                return Some(
                    ExprError::new(format!("`{good}=` is not an operator"), end - 3, 3)
                        .hint(format!("write `{good}`")),
                );
            }
            (Token::Tilde, Some(Token::Assign)) if touches => {
                return Some(
                    ExprError::new("`=~` is not an operator", start - 1, 2)
                        .hint("write `is search('…')`"),
                );
            }
            // Decided by what follows.
            (Token::Assign, _) if text.get(end..end + 1) == Some("~") => {}
            (Token::Gt, Some(Token::Lt)) if touches => {
                return Some(
                    ExprError::new("`<>` is not an operator", start - 1, 2).hint("write `!=`"),
                );
            }
            (Token::Ident(word @ ("contains" | "match" | "matches" | "search" | "like")), _)
                if last.is_some_and(ends_operand) =>
            {
                let test = match *word {
                    "matches" => "match",
                    "like" => "glob",
                    other => other,
                };
                return Some(
                    ExprError::new(format!("`{word}` is not an operator"), start, end - start)
                        .hint(format!("write `is {test}('…')`")),
                );
            }
            (Token::Ident("if"), Some(Token::Ident(test)))
                if matches!(
                    before.iter().rev().nth(1),
                    Some((Token::Ident("is" | "not"), _))
                ) =>
            {
                return Some(
                    ExprError::new("the test takes `if` for its argument", start, end - start)
                        .hint(format!("put the test in parentheses: `(… is {test})`")),
                );
            }
            (Token::Assign, _) if brackets == 0 && !is_in_block(&before) => {
                return Some(
                    ExprError::new("`=` is not a comparison", start, 1).hint("write `==`"),
                );
            }
            (Token::Ident(word @ ("AND" | "OR" | "NOT" | "IN" | "IS")), _)
                if !matches!(last, Some(Token::Dot)) =>
            {
                return Some(
                    ExprError::new(format!("`{word}` is not an operator"), start, end - start)
                        .hint(format!("write `{}`", word.to_lowercase())),
                );
            }
            _ => {}
        }
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => brackets += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => brackets -= 1,
            _ => {}
        }
        before.push((token, span));
    }
    None
}

/// Whether an operator, and not an operand, is expected after a token.
fn ends_operand(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(word) => !matches!(
            *word,
            "and" | "or" | "not" | "is" | "in" | "if" | "else" | "elif" | "for" | "set" | "with"
        ),
        Token::Str(_)
        | Token::String(_)
        | Token::Int(_)
        | Token::Int128(_)
        | Token::Float(_)
        | Token::ParenClose
        | Token::BracketClose
        | Token::BraceClose => true,
        _ => false,
    }
}

/// Whether the tokens end inside `{% … %}`, where `=` assigns.
fn is_in_block(tokens: &[(Token<'_>, Span)]) -> bool {
    let opens = tokens
        .iter()
        .rposition(|(token, _)| matches!(token, Token::BlockStart));
    let closes = tokens
        .iter()
        .rposition(|(token, _)| matches!(token, Token::BlockEnd));
    opens > closes
}

/// A character that starts no token.
fn unreadable(text: &str, error: &Error) -> Option<ExprError> {
    let start = error.range()?.start;
    let rest = text.get(start..)?;
    let found = rest.chars().next()?;
    let (len, message, hint) = match found {
        '&' if rest.starts_with("&&") => (2, "`&&` is not an operator", "write `and`"),
        '!' => (1, "`!` is not an operator", "write `not`"),
        '?' => (
            1,
            "`?` is not an operator",
            "a choice is written `a if condition else b`",
        ),
        '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' | '`' => (
            found.len_utf8(),
            "this quotation mark does not start a text",
            "write `\"` or `'`",
        ),
        '$' => (
            1,
            "names are not marked with `$`",
            "write the name alone, such as `event.body.status`",
        ),
        _ => return None,
    };
    Some(ExprError::new(message, start, len).hint(hint))
}

/// The bytes of a node that has no name of its own.
pub(super) fn span_of(expr: &ast::Expr<'_>) -> (usize, usize) {
    let span = expr.span();
    let (start, end) = (span.start_offset as usize, span.end_offset as usize);
    (start, end.saturating_sub(start))
}
