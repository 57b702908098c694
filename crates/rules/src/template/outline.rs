//! What a template says by itself, and where something computed stands in it.
//!
//! Nothing is evaluated: each way through the `if`s is a text with gaps. A loop
//! is a gap, unless it has a text of its own: how often that comes is not known.

use super::Node;

/// Ways through one template, at most.
const MOST: usize = 32;

/// A piece of a text. Two of the same kind never follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Computed,
}

/// Every text that can come of these pieces. `None` when there are too many, or
/// a loop repeats one.
pub(super) fn outlines(nodes: &[Node]) -> Option<Vec<Vec<Piece>>> {
    let mut known = vec![Vec::new()];
    walk(nodes, &mut known).then_some(known)
}

/// Goes on with each of the texts so far. False when that cannot be done.
fn walk(nodes: &[Node], known: &mut Vec<Vec<Piece>>) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(text) => {
            for pieces in &mut *known {
                match pieces.last_mut() {
                    Some(Piece::Text(before)) => before.push_str(text),
                    Some(Piece::Computed) | None => pieces.push(Piece::Text(text.clone())),
                }
            }
            true
        }
        Node::For { .. } if has_text(node) => false,
        Node::Emit(_) | Node::For { .. } => {
            for pieces in &mut *known {
                if pieces.last() != Some(&Piece::Computed) {
                    pieces.push(Piece::Computed);
                }
            }
            true
        }
        Node::If { test: _, yes, no } => {
            let mut other = known.clone();
            let is_complete = walk(yes, known) && walk(no, &mut other);
            known.extend(other);
            is_complete && known.len() <= MOST
        }
        Node::Set { .. } => true,
        Node::With { values: _, body } => walk(body, known),
    })
}

fn has_text(node: &Node) -> bool {
    match node {
        Node::Text(_) => true,
        Node::Emit(_) | Node::Set { .. } => false,
        Node::If { test: _, yes, no } => yes.iter().chain(no).any(has_text),
        Node::For {
            targets: _,
            items: _,
            filter: _,
            body,
            otherwise,
        } => body.iter().chain(otherwise).any(has_text),
        Node::With { values: _, body } => body.iter().any(has_text),
    }
}
