//! `lariat status`: how the service stands.

use api::json::Status;
use model::job::JobState;

use crate::{args::Json, client::Client, commands::fact, console::Console, failure::Failure};

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
        notices,
    } = &status;
    fact(console, "version", version)?;
    fact(console, "started", started.to_string())?;
    fact(console, "rules", format!("{rules} in revision {revision}"))?;
    fact(console, "commit", commit.clone().unwrap_or_default())?;
    let running = format!("{} of {} running", worker.running, worker.concurrency);
    fact(console, "worker", format!("{}, {running}", worker.id))?;
    let size = store.size_bytes.div_ceil(1024);
    let store_line = format!("{}, {size} KiB, {} events", store.kind, store.events);
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
    if !notices.is_empty() {
        let text = rules::render::diagnostics(notices, console.colours_talk());
        console.rendered(&text);
    }
    Ok(())
}
