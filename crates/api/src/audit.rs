//! `/api/v1/audit`: who did what.

use axum::http::Uri;
use engine::Reloaded;
use model::{
    audit::{AuditAction, AuditDraft, AuditQuery},
    id::Principal,
    page::List,
};

use crate::{
    app::{App, Shared},
    gate::Caller,
    json,
    list::{self, Listing},
    problem::Answer,
    query::Params,
};

pub(crate) async fn list(app: Shared, uri: Uri) -> Answer {
    let known = ["by", "action", "since", "until", "limit", "cursor", "after"];
    let mut params = Params::new(&uri, &known, app.now());
    let mut query = AuditQuery {
        by: params.text("by").map(|by| Principal(by.to_owned())),
        action: params.word("action", &AuditAction::ALL.map(AuditAction::as_str)),
        since: params.moment("since"),
        until: params.moment("until"),
        position: params.position(),
        limit: params.limit(),
    };
    params.finish()?;
    list::check(&app, List::Audit, query.position).await?;
    let mut listing = Listing::new(query.position, query.limit);
    while let Some((position, limit)) = listing.wanted() {
        query.position = position;
        query.limit = limit;
        let page = app.engine.audit().entries(&query).await?;
        listing.add(
            page.items.into_iter().map(json::AuditEntry::from),
            page.next,
        );
    }
    Ok(listing.answer())
}

/// Notes that somebody put rules in force. They are by then: what cannot be
/// noted is in the log.
pub(crate) async fn reloaded(app: &App, caller: &Caller, reloaded: &Reloaded) {
    let Reloaded {
        revision,
        rules,
        changed,
        ..
    } = reloaded;
    let what = if *changed { "changed" } else { "as before" };
    let draft = AuditDraft {
        by: caller.principal(),
        action: AuditAction::Reload,
        target: revision.to_string(),
        detail: Some(format!("{rules} rules, {what}")),
    };
    if let Err(error) = app.engine.audit().record(draft).await {
        tracing::warn!("a reload of the rules is not in the audit: {error}");
    }
}
