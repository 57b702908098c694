//! `lariat status`: how the service stands.

use api::json::{Playbooks, Sink, Source, Status, WarmServer};
use model::{job::JobState, link::LinkState, warm::WarmState};

use crate::{
    args::Json,
    client::Client,
    commands::{counted, fact},
    console::{Console, Span, Style},
    failure::Failure,
};

pub(crate) async fn run(
    command: &Json,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let answer = client.get(&["status"], &[]).await?;
    if command.json {
        return console.json(&answer.value()?);
    }
    let status: Status = answer.read()?;
    let Status {
        version,
        started,
        revision,
        commit,
        rules,
        worker,
        store,
        sources,
        sinks,
        playbooks,
        notices,
    } = &status;
    fact(console, "version", version)?;
    fact(console, "started", started.to_string())?;
    fact(console, "rules", format!("{rules} in revision {revision}"))?;
    fact(console, "commit", commit.clone().unwrap_or_default())?;
    let running = format!("{} of {} running", worker.running, worker.concurrency);
    fact(console, "worker", format!("{}, {running}", worker.id))?;
    let size = store.size_bytes.div_ceil(1024);
    let events = counted(store.events, "event", "events");
    let store_line = format!("{}, {size} KiB, {events}", store.kind);
    fact(console, "store", store_line)?;
    let jobs: Vec<String> = JobState::ALL
        .into_iter()
        .filter_map(|state| {
            let count = store.jobs.get(state.as_str()).copied().unwrap_or(0);
            (count > 0).then(|| format!("{count} {state}"))
        })
        .collect();
    let jobs = if jobs.is_empty() {
        "none".to_owned()
    } else {
        jobs.join(", ")
    };
    fact(console, "jobs", jobs)?;
    let oldest = store.oldest_queued.map(|at| at.to_string());
    fact(console, "oldest", oldest.unwrap_or_default())?;
    let dead = format!("{} open", store.open_dead_letters);
    fact(console, "dead", dead)?;
    for source in sources {
        let Source {
            name,
            ack,
            messages,
            held,
            losses,
            ..
        } = source;
        let link = [
            Span::plain(format!("`{name}` ")),
            state(source.state),
            Span::plain(place(source.peer.as_ref(), source.detail.as_ref())),
            Span::plain(format!(
                ", ack {}, {messages} received, {held} held, {}",
                ack.as_str(),
                counted(*losses, "loss", "losses")
            )),
        ];
        linked(console, "source", &link)?;
    }
    for sink in sinks {
        let Sink {
            name,
            messages,
            losses,
            backlog,
            trouble,
            ..
        } = sink;
        let oldest = match backlog.oldest {
            Some(oldest) => format!(" since {oldest}"),
            None => String::new(),
        };
        let trouble = match trouble {
            Some(trouble) => format!(": {trouble}"),
            None => String::new(),
        };
        let link = [
            Span::plain(format!("`{name}` ")),
            state(sink.state),
            Span::plain(place(sink.peer.as_ref(), sink.detail.as_ref())),
            Span::plain(format!(
                ", {messages} sent, {} waiting{oldest}{trouble}, {}",
                backlog.events,
                counted(*losses, "loss", "losses")
            )),
        ];
        linked(console, "sink", &link)?;
    }
    self::playbooks(playbooks, console)?;
    if !notices.is_empty() {
        let text = rules::render::diagnostics(notices, console.colours_talk());
        console.rendered(&text);
    }
    Ok(())
}

/// How playbooks were started, and a line for each fork server.
fn playbooks(playbooks: &Playbooks, console: &mut Console) -> Result<(), Failure> {
    let Playbooks {
        warm,
        started_warm,
        started_cold,
        servers,
    } = playbooks;
    let started = format!("{started_warm} started warm, {started_cold} cold");
    let started = if *warm {
        started
    } else {
        format!("{started} (`ansible.warm` is false)")
    };
    fact(console, "playbooks", started)?;
    for server in servers {
        let WarmServer {
            program,
            account,
            version,
            state,
            reason,
            started,
        } = server;
        let style = match state {
            WarmState::Ready => Style::Green,
            WarmState::Proving => Style::Plain,
            WarmState::Cold => Style::Yellow,
        };
        let mut about = vec![format!("`{program}`")];
        about.extend(version.clone());
        about.extend(account.as_ref().map(|name| format!("account `{name}`")));
        about.push(counted(*started, "playbook", "playbooks"));
        let mut line = vec![
            Span::new(style, state.as_str()),
            Span::plain(format!(" {}", about.join(", "))),
        ];
        if let Some(reason) = reason {
            line.push(Span::plain(format!(": {reason}")));
        }
        linked(console, "warm", &line)?;
    }
    Ok(())
}

fn linked(console: &mut Console, what: &str, link: &[Span]) -> Result<(), Failure> {
    let mut line = vec![Span::new(Style::Dim, format!("{what:<10} "))];
    line.extend_from_slice(link);
    console.spans(&line)
}

fn state(state: LinkState) -> Span {
    let style = match state {
        LinkState::Connected => Style::Green,
        LinkState::Connecting | LinkState::Closed => Style::Plain,
        LinkState::Blocked => Style::Yellow,
        LinkState::Waiting => Style::Red,
    };
    Span::new(style, state.as_str())
}

/// Where it is connected to, and what was said last.
fn place(peer: Option<&String>, detail: Option<&String>) -> String {
    let mut text = String::new();
    if let Some(peer) = peer {
        text.push_str(" to ");
        text.push_str(peer);
    }
    if let Some(detail) = detail {
        text.push_str(" (");
        text.push_str(detail);
        text.push(')');
    }
    text
}
