//! `lariat audit`: who did what.

use api::json::{AuditEntry, List};

use crate::{
    args::access::Audit,
    client::Client,
    commands::{Query, more},
    console::{Column, Console, Span, Style, Table},
    failure::Failure,
};

pub(crate) async fn run(
    command: &Audit,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let Audit { by, action, window } = command;
    let query = Query::new()
        .add("by", by.as_ref())
        .add("action", action.as_ref())
        .window(window);
    let answer = client.get(&["audit"], query.pairs()).await?;
    if window.page.json.json {
        return console.json(&answer.value()?);
    }
    let list: List<AuditEntry> = answer.read()?;
    if list.items.is_empty() {
        console.say("nobody did such a thing");
        return Ok(());
    }
    let mut table = Table::new(&[
        Column::Time("AT"),
        Column::Elastic("BY"),
        Column::Fixed("ACTION"),
        Column::Elastic("TARGET"),
        Column::Note("DETAIL"),
    ]);
    for entry in &list.items {
        table.row(vec![
            Span::plain(entry.at.to_string()),
            Span::new(Style::Bold, &entry.by.0),
            Span::plain(entry.action.as_str()),
            Span::plain(&entry.target),
            Span::plain(entry.detail.clone().unwrap_or_default()),
        ]);
    }
    console.table(&table)?;
    more(console, list.next.as_ref());
    Ok(())
}
