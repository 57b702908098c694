//! Names of playbooks and inventories: whether they are there, and what a
//! computed one may be.

use super::super::{Field, NoCall, Renderer, field::check_word, read::read_path};
use super::options::check_option;
use crate::{
    code::Code,
    listing::{Listing, check_name, plain_path},
    yaml::{Node, Reader, shorten},
};

pub(super) fn missing_playbook(name: &str) -> String {
    let name = shorten(name);
    format!(
        "there is no playbook `{name}`: neither `playbooks/{name}` nor `{name}` is in the project"
    )
}

pub(super) fn check_playbook(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    (listing, may_be_missing): (&Listing, bool),
) {
    let name = name.strip_prefix("./").unwrap_or(name);
    if !read_path(reader, node, name) || listing.playbook(name).is_some() {
        return;
    }
    let hint = match similar(reader, listing, name) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!("create `playbooks/{}`", shorten(name)),
    };
    let message = missing_playbook(name);
    if may_be_missing {
        reader.warning(Code::MissingFile, node.span, message, Some(hint));
    } else {
        reader.error(Code::MissingFile, node.span, message, Some(hint));
    }
}

/// A name of the project that was probably meant.
pub(super) fn similar<'l>(
    reader: &Reader<'_>,
    listing: &'l Listing,
    name: &str,
) -> Option<&'l str> {
    reader
        .wants_hints()
        .then(|| listing.similar(name))
        .flatten()
}

/// A file, a directory, or hosts with a comma. Ansible runs what is executable
/// among inventories, so a computed name must begin with a directory that the
/// rule writes out.
pub(super) fn read_inventory(
    reader: &mut Reader<'_>,
    node: &Node,
    listing: &Listing,
) -> Option<Field> {
    let field = Field::read(reader, node)?;
    if let Some(text) = field.fixed() {
        check_inventory(reader, node, text, listing);
        return Some(field);
    }
    let is_list = field.source().trim_end().ends_with(',');
    if is_list || !field.computes_before('/') {
        return Some(field);
    }
    reader.error(
        Code::UntrustedCode,
        node.span,
        "an event could name any file of the project here, and Ansible runs those that are executable"
            .to_owned(),
        Some(
            "begin with the directory, as in `inventory/{{ … }}`; for hosts of an event there is `hosts`"
                .to_owned(),
        ),
    );
    None
}

fn check_inventory(reader: &mut Reader<'_>, node: &Node, text: &str, listing: &Listing) {
    if text.contains(',') {
        check_option(reader, node, text);
        return;
    }
    let path = plain_path(text);
    if !read_path(reader, node, path) || listing.has_file(path) || listing.has_directory(path) {
        return;
    }
    let hint = match similar(reader, listing, path) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => "write a file, a directory, or hosts with a comma such as `localhost,`".to_owned(),
    };
    reader.error(
        Code::MissingFile,
        node.span,
        format!("there is no inventory `{}` in the project", shorten(path)),
        Some(hint),
    );
}

/// An inventory that is not computed, as Ansible gets it.
pub(super) fn fixed_inventory(text: &str) -> String {
    if !text.contains(',') {
        return plain_path(text).to_owned();
    }
    // Without the comma at the end a single host would be a file.
    let end = if text.ends_with(',') { "" } else { "," };
    format!("{text}{end}")
}

pub(super) fn resolve_inventory(
    field: &Field,
    renderer: &Renderer<'_>,
    listing: &Listing,
) -> Result<String, NoCall> {
    let text = field.text(renderer)?;
    let is_rendered = field.fixed().is_none();
    if text.contains(',') {
        if is_rendered {
            check_word(&text)?;
        }
        return Ok(fixed_inventory(&text));
    }
    let path = if is_rendered {
        &text
    } else {
        plain_path(&text)
    };
    if let Err(error) = check_name(path) {
        return Err(NoCall::Bad(format!(
            "the name {:?} is refused: {error}",
            shorten(path)
        )));
    }
    if listing.has_file(path) || listing.has_directory(path) {
        return Ok(path.to_owned());
    }
    Err(NoCall::Missing(format!(
        "there is no inventory `{}` in the project",
        shorten(path)
    )))
}
