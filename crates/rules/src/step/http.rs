//! The `http` step: reading its keys, rendering it into a call.
//!
//! What an event says can be in the path and the query, where it is encoded,
//! in a header, where it has no control characters, and anywhere in the body.
//! It can be the host too; then the address must be a public one, which is
//! checked where the connection is made. The method, the names of headers,
//! secrets and certificates are the rule's alone.

mod secret;
mod url;

use std::ops::RangeInclusive;

use model::action::{HttpBody, HttpCall, HttpText, HttpUrl, StepCall};

use self::{
    secret::Secret,
    url::{Url, Whose},
};
use super::{
    Field, NoCall, Renderer,
    field::Shape,
    read::{Tally, read_path},
};
use crate::{
    code::Code,
    listing::Listing,
    yaml::{Data, Entry, Mapping, Node, Reader, shorten},
};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers that say where a request ends, or are about the connection: the
/// client's own.
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const MOST_REDIRECTS: u64 = 10;

#[derive(Debug)]
pub(crate) struct Http {
    /// Absent: what fits the body.
    method: Option<&'static str>,
    url: Target,
    headers: Vec<(String, Header)>,
    body: Body,
    expect: Vec<RangeInclusive<u16>>,
    follow_redirects: u8,
    ca: Option<String>,
}

#[derive(Debug)]
enum Target {
    Url(Url),
    Secret(Secret),
}

#[derive(Debug)]
enum Header {
    Field(Field),
    Secret(Secret),
}

#[derive(Debug)]
enum Body {
    Empty,
    Json(Shape),
    Form(Vec<(String, Field)>),
    /// With data of its own, or that of the event.
    CloudEvent(Option<Shape>),
}

impl Http {
    pub(super) fn what(&self) -> String {
        let url = match &self.url {
            Target::Url(url) => url.source(),
            Target::Secret(_) => "(a secret address)",
        };
        format!("{} {url}", self.method())
    }

    fn method(&self) -> &'static str {
        self.method.unwrap_or(match self.body {
            Body::Empty => "GET",
            Body::Json(_) | Body::Form(_) | Body::CloudEvent(_) => "POST",
        })
    }

    /// `node` is the value of the key `http`.
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<Self> {
        let mut keys = reader.mapping(node, "an `http` step")?;
        let address = keys.required(reader, "url");
        let url = address.and_then(|node| read_target(reader, node));
        let method = match keys.stated(reader, "method") {
            Some(node) => read_method(reader, node).map(Some),
            None => Some(None),
        };
        let headers = match keys.stated(reader, "headers") {
            Some(node) => read_headers(reader, node),
            None => Some(Vec::new()),
        };
        if let (Some(node), Some(Target::Url(url)), Some(headers)) = (address, &url, &headers) {
            refuse_exposed(reader, node, url, headers);
        }
        let body = read_body(reader, &mut keys);
        let expect = match keys.stated(reader, "expect") {
            Some(node) => read_expect(reader, node),
            None => Some(vec![200..=299]),
        };
        let redirects = match keys.stated(reader, "follow_redirects") {
            Some(node) => reader.integer(node, 0..=MOST_REDIRECTS),
            None => Some(0),
        };
        let ca = match keys.stated(reader, "ca") {
            Some(node) => read_ca(reader, node, listing).map(Some),
            None => Some(None),
        };
        keys.finish(reader, &[]);
        Some(Self {
            method: method?,
            url: url?,
            headers: headers?,
            body: body?,
            expect: expect?,
            follow_redirects: u8::try_from(redirects?).ok()?,
            ca: ca?,
        })
    }

    pub(super) fn render(
        &self,
        renderer: &Renderer<'_>,
        listing: &Listing,
    ) -> Result<StepCall, NoCall> {
        let mut tally = Tally::default();
        let url = match &self.url {
            Target::Url(url) => tally.take("url", url.render(renderer))?,
            Target::Secret(secret) => Some(HttpUrl::Secret(secret.file.clone())),
        };
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, header) in &self.headers {
            let text = match header {
                Header::Field(field) => field.text(renderer).and_then(header_text),
                Header::Secret(secret) => Ok(HttpText::Secret {
                    prefix: secret.prefix.clone(),
                    file: secret.file.clone(),
                }),
            };
            let text = tally.take("headers", text.map_err(|error| error.of(name)))?;
            headers.extend(text.map(|text| (name.clone(), text)));
        }
        let body = tally.take("body", self.render_body(renderer))?;
        if let Some(path) = &self.ca
            && !listing.has_file(path)
        {
            let message = format!("there is no file `{path}` in the project");
            tally.take::<()>("ca", Err(NoCall::Missing(message)))?;
        }
        let (Some(url), Some(body)) = (url, body) else {
            return Err(tally.into_no_call());
        };
        tally.finish()?;
        Ok(StepCall::Http(HttpCall {
            method: self.method(),
            url,
            headers,
            body,
            expect: self.expect.clone(),
            follow_redirects: self.follow_redirects,
            ca: self.ca.clone(),
        }))
    }

    fn render_body(&self, renderer: &Renderer<'_>) -> Result<HttpBody, NoCall> {
        match &self.body {
            Body::Empty => Ok(HttpBody::Empty),
            Body::Json(shape) => shape.render(renderer).map(HttpBody::Json),
            Body::Form(fields) => {
                let fields = fields.iter().map(|(name, field)| {
                    let text = field.text(renderer).map_err(|error| error.of(name))?;
                    Ok((name.clone(), text.into_owned()))
                });
                fields.collect::<Result<_, _>>().map(HttpBody::Form)
            }
            Body::CloudEvent(data) => {
                let data = data.as_ref().map(|shape| shape.render(renderer));
                data.transpose().map(HttpBody::CloudEvent)
            }
        }
    }
}

fn header_text(text: std::borrow::Cow<'_, str>) -> Result<HttpText, NoCall> {
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(found) => Err(NoCall::Bad(format!(
            "the value contains {found:?}, which no header may"
        ))),
        None => Ok(HttpText::Plain(text.into_owned())),
    }
}

fn read_target(reader: &mut Reader<'_>, node: &Node) -> Option<Target> {
    if let Data::Mapping(_) = node.data {
        let secret = Secret::read(reader, node)?;
        if !secret.prefix.is_empty() {
            reader.error(
                Code::BadValue,
                node.span,
                "an address that is a secret has no `prefix`".to_owned(),
                Some("write the whole address into the file".to_owned()),
            );
            return None;
        }
        return Some(Target::Secret(secret));
    }
    Url::read(reader, node).map(Target::Url)
}

/// A secret does not go where an event says.
fn refuse_exposed(reader: &mut Reader<'_>, node: &Node, url: &Url, headers: &[(String, Header)]) {
    let secret = headers.iter().find_map(|(name, header)| match header {
        Header::Secret(_) => Some(name),
        Header::Field(_) => None,
    });
    let (Some(name), Whose::Event) = (secret, url.whose()) else {
        return;
    };
    let message = format!("the secret of `{name}` would be sent to a host that an event chooses");
    let hint = "write the host itself, or at least its end, as in \
                `https://{{ … }}.example.org/`; or send no secret";
    reader.error(
        Code::ExposedSecret,
        node.span,
        message,
        Some(hint.to_owned()),
    );
}

fn read_method(reader: &mut Reader<'_>, node: &Node) -> Option<&'static str> {
    let text = reader.string(node)?;
    let method = METHODS
        .into_iter()
        .find(|method| method.eq_ignore_ascii_case(text));
    if method.is_none() {
        let hint = if text.contains("{{") {
            "the method cannot be computed; write two rules".to_owned()
        } else {
            format!("write one of {}", METHODS.join(", "))
        };
        reader.error(
            Code::BadValue,
            node.span,
            format!("`{}` is not a method", shorten(text)),
            Some(hint),
        );
    }
    method
}

fn read_headers(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Header)>> {
    let Data::Mapping(entries) = &node.data else {
        reader.wrong_type(node, "a mapping");
        return None;
    };
    let headers: Vec<Option<(String, Header)>> = entries
        .iter()
        .map(|entry| read_header(reader, entry))
        .collect();
    headers.into_iter().collect()
}

fn read_header(reader: &mut Reader<'_>, entry: &Entry) -> Option<(String, Header)> {
    let name = entry.key.as_str();
    let wrong = if !is_token(name) {
        Some(format!("`{}` is not the name of a header", shorten(name)))
    } else if FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
        Some(format!("the header `{name}` is written by Lariat itself"))
    } else {
        None
    };
    if let Some(message) = wrong {
        reader.error(Code::BadValue, entry.key_span, message, None);
        return None;
    }
    let header = match &entry.value.data {
        Data::Mapping(_) => Header::Secret(Secret::read(reader, &entry.value)?),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) => {
            let field = Field::read(reader, &entry.value)?;
            if let Some(text) = field.fixed()
                && text.contains(|c: char| c.is_control() && c != '\t')
            {
                reader.error(
                    Code::BadValue,
                    entry.value.span,
                    "a header has no control characters".to_owned(),
                    None,
                );
                return None;
            }
            Header::Field(field)
        }
    };
    Some((entry.key.clone(), header))
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    (1..=100).contains(&name.len()) && name.chars().all(is_token)
}

fn read_body(reader: &mut Reader<'_>, keys: &mut Mapping<'_>) -> Option<Body> {
    let format = match keys.stated(reader, "format") {
        Some(node) => read_format(reader, node),
        None => Some(Format::Json),
    };
    match (read_content(reader, keys)?, format?) {
        (body, Format::Json) => Some(body),
        (Body::Empty, Format::CloudEvents) => Some(Body::CloudEvent(None)),
        (Body::Json(shape), Format::CloudEvents) => Some(Body::CloudEvent(Some(shape))),
        (Body::Form(_) | Body::CloudEvent(_), Format::CloudEvents) => {
            let span = keys.entry("form").map(|entry| entry.key_span)?;
            let message = "a form is no CloudEvent".to_owned();
            let hint = "write `body`, or neither to send the event as it is".to_owned();
            reader.error(Code::BadValue, span, message, Some(hint));
            None
        }
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    CloudEvents,
}

fn read_format(reader: &mut Reader<'_>, node: &Node) -> Option<Format> {
    match reader.string(node)? {
        "json" => Some(Format::Json),
        "cloudevents" => Some(Format::CloudEvents),
        other => {
            let message = format!("`{}` is not a format", shorten(other));
            let hint = "write `json` or `cloudevents`".to_owned();
            reader.error(Code::BadValue, node.span, message, Some(hint));
            None
        }
    }
}

fn read_content(reader: &mut Reader<'_>, keys: &mut Mapping<'_>) -> Option<Body> {
    let form = keys.entry("form").map(|entry| entry.key_span);
    match (keys.entry("body"), form) {
        (None, None) => Some(Body::Empty),
        (Some(_), Some(span)) => {
            reader.error(
                Code::BadValue,
                span,
                "a request has a `body` or a `form`, not both".to_owned(),
                None,
            );
            None
        }
        // A body may be `null`.
        (Some(entry), None) => Shape::read(reader, &entry.value).map(Body::Json),
        (None, Some(_)) => {
            let node = keys.stated(reader, "form")?;
            read_form(reader, node).map(Body::Form)
        }
    }
}

fn read_form(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Field)>> {
    let Data::Mapping(entries) = &node.data else {
        reader.wrong_type(node, "a mapping");
        return None;
    };
    let fields: Vec<Option<(String, Field)>> = entries
        .iter()
        .map(|entry| Some((entry.key.clone(), Field::read(reader, &entry.value)?)))
        .collect();
    fields.into_iter().collect()
}

/// A status, a range such as `200-299`, or a list of these.
fn read_expect(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<RangeInclusive<u16>>> {
    let items = reader.one_or_list(node);
    if items.is_empty() {
        let message = "no status is expected at all".to_owned();
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    let ranges: Vec<Option<RangeInclusive<u16>>> =
        items.iter().map(|item| read_range(reader, item)).collect();
    ranges.into_iter().collect()
}

fn read_range(reader: &mut Reader<'_>, node: &Node) -> Option<RangeInclusive<u16>> {
    if let Data::Number(_) = node.data {
        let status = reader.integer(node, 100..=599)?;
        let status = u16::try_from(status).ok()?;
        return Some(status..=status);
    }
    let text = reader.string(node)?;
    let status = |text: &str| {
        let number = text.trim().parse::<u16>().ok()?;
        (100..=599).contains(&number).then_some(number)
    };
    let range = match text.split_once('-') {
        Some((from, to)) => status(from).zip(status(to)),
        None => status(text).map(|status| (status, status)),
    };
    match range.filter(|(from, to)| from <= to) {
        Some((from, to)) => Some(from..=to),
        None => {
            let message = format!("`{}` is no status", shorten(text));
            let hint = "write a status such as 200, or a range such as 200-299".to_owned();
            reader.error(Code::BadValue, node.span, message, Some(hint));
            None
        }
    }
}

fn read_ca(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<String> {
    let path = reader.string(node)?;
    if !read_path(reader, node, path) {
        return None;
    }
    if !listing.has_file(path) {
        let message = format!("there is no file `{}` in the project", shorten(path));
        let hint = listing.similar(path);
        let hint = hint.map(|name| format!("did you mean `{name}`?"));
        reader.error(Code::MissingFile, node.span, message, hint);
        return None;
    }
    Some(path.to_owned())
}
