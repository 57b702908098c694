//! The address of a request.
//!
//! What is computed behind the host is one piece of the path or the query,
//! whatever is in it: `/`, `?` and `#` are encoded, and no piece is `..`. What
//! is computed in the host ends it nowhere, so what the rule writes of the host
//! stays its end.

mod host;

use model::action::HttpUrl;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub(super) use self::host::Whose;
use super::super::{Field, NoCall, Renderer};
use crate::{
    code::Code,
    yaml::{Node, Reader, shorten},
};

/// Bytes of an address, at most.
const LONGEST: usize = 8 * 1024;

/// RFC 3986, section 2.3: these mean nothing but themselves.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Debug)]
pub(super) struct Url {
    field: Field,
    is_host_fixed: bool,
    /// Whether the rule writes a part of the address behind `://` itself.
    has_own_text: bool,
    is_scheme_computed: bool,
    whose: Whose,
}

impl Url {
    pub(super) fn source(&self) -> &str {
        self.field.source()
    }

    /// Who says which host is asked.
    pub(super) fn whose(&self) -> Whose {
        self.whose
    }

    pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let field = Field::read(reader, node)?;
        let is_host_fixed = is_host_fixed(&field);
        let outlines = if is_host_fixed {
            None
        } else {
            field.outlines()
        };
        if outlines
            .iter()
            .flatten()
            .any(|pieces| host::is_continued(pieces))
        {
            let message = "the end of the host is computed, right behind a part of its name";
            let hint = "write a `/` before it when it is a path: `https://h.example/{{ … }}`";
            reader.error(
                Code::BadValue,
                node.span,
                message.to_owned(),
                Some(hint.to_owned()),
            );
            return None;
        }
        let url = Self {
            is_host_fixed,
            has_own_text: match &outlines {
                Some(outlines) => outlines.iter().any(|pieces| host::has_own_text(pieces)),
                None => true,
            },
            is_scheme_computed: match &outlines {
                Some(outlines) => outlines
                    .iter()
                    .any(|pieces| host::is_scheme_computed(pieces)),
                None => true,
            },
            whose: match &outlines {
                Some(outlines) => host::whose(outlines),
                None if is_host_fixed => Whose::Rule,
                None => Whose::Event,
            },
            field,
        };
        if let Some(text) = url.field.fixed()
            && let Err(why) = check(text)
        {
            reader.error(
                Code::BadValue,
                node.span,
                format!("`{}` is no address for a request: {why}", shown(text)),
                None,
            );
            reader.hide_in_last(userinfo(text));
            return None;
        }
        Some(url)
    }

    pub(super) fn render(&self, renderer: &Renderer<'_>) -> Result<HttpUrl, NoCall> {
        let text = self
            .field
            .written(renderer, &|before, value| self.write(before, value))?;
        let is_computed = self.field.fixed().is_none();
        let refused = |why: &str| NoCall::Bad(format!("{:?} is refused: {why}", shown(&text)));
        check(&text).map_err(|why| refused(&why))?;
        if is_computed && has_dots(&text) {
            return Err(refused("a part of its path is `.` or `..`"));
        }
        let text = text.into_owned();
        Ok(if self.is_host_fixed {
            HttpUrl::Fixed(text)
        } else {
            HttpUrl::Computed(text)
        })
    }

    /// A value that is computed behind the host is encoded. One before its end
    /// may not end it, unless all of the address is computed.
    fn write(&self, before: &str, value: &str) -> Result<String, String> {
        if is_behind_host(before) {
            return Ok(utf8_percent_encode(value, ENCODED).to_string());
        }
        let is_within = before.contains("://") || self.is_scheme_computed;
        if self.has_own_text && is_within {
            host::check(before, value)?;
        }
        Ok(value.to_owned())
    }
}

/// Whether the rule itself says where requests go.
fn is_host_fixed(field: &Field) -> bool {
    if field.fixed().is_some() {
        return true;
    }
    let source = field.source();
    let begin = ["{{", "{%", "{#"]
        .iter()
        .filter_map(|open| source.find(open))
        .min();
    begin
        .and_then(|begin| source.get(..begin))
        .is_some_and(is_behind_host)
}

/// Whether the host has ended before the end of the text.
fn is_behind_host(text: &str) -> bool {
    text.split_once("://")
        .and_then(|(_, rest)| rest.find(['/', '?', '#']))
        .is_some_and(|end| end > 0)
}

/// An address for people: a user and a password in it are not shown.
fn shown(text: &str) -> String {
    match userinfo(text) {
        "" => shorten(text),
        secret => shorten(&text.replacen(secret, "***", 1)),
    }
}

/// A user and a password, as far as there are any. A password may have a `/`
/// in it that somebody forgot to encode.
fn userinfo(text: &str) -> &str {
    let behind = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((secret, _)) = authority.rsplit_once('@') {
        return secret;
    }
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match authority.rsplit_once(':') {
        Some((_, port)) if !is_port(port) => {
            behind.rsplit_once('@').map_or("", |(secret, _)| secret)
        }
        Some(_) | None => "",
    }
}

fn check(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("it has white space, a control character or a backslash".to_owned());
    }
    // A parser would take the first part of the path for the host.
    if text
        .split_once("://")
        .is_some_and(|(_, rest)| rest.starts_with('/'))
    {
        return Err("it has no host".to_owned());
    }
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https are spoken".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or password does not belong into it; send a header".to_owned());
    }
    match url.host() {
        Some(_) => Ok(()),
        None => Err("it has no host".to_owned()),
    }
}

/// Whether a part of the path leads elsewhere, in any spelling.
fn has_dots(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or(text);
    path.split('/').any(|part| {
        let part = part.to_ascii_lowercase().replace("%2e", ".");
        part == "." || part == ".."
    })
}
