//! The keys about who reaches the service and how often: `listen_tls`, and the
//! rates below `limits`.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use api::{Rate, Tls, TlsError};
use rules::{
    Code,
    yaml::{Node, Reader, parse_duration},
};

use crate::config::{Scope, secret};

/// The certificate chain and the key of the listener, PEM files seen from the
/// project. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenTls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl ListenTls {
    pub(crate) fn open(&self, project: &std::path::Path) -> Result<Tls, TlsError> {
        Tls::load(project.join(&self.cert), project.join(&self.key))
    }
}

pub(super) fn tls(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Option<ListenTls> {
    let mut section = reader.mapping(node, "`listen_tls`")?;
    let cert = section.required(reader, "cert");
    let cert = cert.map(|node| secret::path(reader, node, scope));
    let key = section.required(reader, "key");
    let key = key.map(|node| secret::path(reader, node, scope));
    section.finish(reader, &[]);
    Some(ListenTls {
        cert: cert??,
        key: key??,
    })
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// `600/1m`, or `off`.
pub(super) fn rate(reader: &mut Reader<'_>, node: &Node) -> Option<Option<Rate>> {
    let text = reader.string(node)?;
    if text == "off" {
        return Some(None);
    }
    let found = text.split_once('/').and_then(|(count, per)| {
        let per = parse_duration(per).ok()?;
        let count = count.parse::<NonZeroU32>().ok()?;
        let is_sane = (SECOND..=DAY).contains(&per) && count.get() <= 1_000_000;
        is_sane.then_some(Rate { count, per })
    });
    if found.is_none() {
        reader.error(
            Code::BadValue,
            node.span,
            "this is not a rate".to_owned(),
            Some(
                "write `600/1m`: 1 to 1000000 requests in a time of 1s to 1d; or `off`".to_owned(),
            ),
        );
    }
    found.map(Some)
}

/// As `lariat.yml` has it.
pub(crate) fn shown(rate: Option<Rate>) -> String {
    match rate {
        None => "off".to_owned(),
        Some(Rate { count, per }) => format!("{count}/{}s", per.as_secs()),
    }
}
