//! What loading many rules and finding those that match an event costs.
//!
//! `matching time SHAPE COUNT` prints nanoseconds per event, judged by that many
//! rules of which ten match. `matching load SHAPE COUNT FILES` prints seconds
//! and MiB that checking and indexing them takes, read from so many files.
#![expect(
    clippy::print_stdout,
    reason = "a program that measures and prints one number"
)]

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write as _,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{event::Event, ports::ProjectText};
use rules::{RuleSet, Surroundings};
use serde_json::json;

/// Rules that match each event.
const MATCHING: usize = 10;
/// Events that differ in what they are about.
const EVENTS: usize = 10;
const LEAST: Duration = Duration::from_millis(500);
/// So long a pass is rarely interrupted by other programs.
const PASS: Duration = Duration::from_micros(500);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["time", shape, count] => time(shape, count.parse()?),
        ["load", shape, count, files] => load(shape, count.parse()?, files.parse()?),
        _ => Err("usage: matching time SHAPE COUNT | matching load SHAPE COUNT FILES".into()),
    }
}

fn time(shape: &str, count: usize) -> Result<(), Box<dyn Error>> {
    let rules = check(project(shape, count, count.div_ceil(50_000))?)?;
    let groups = count / MATCHING;
    let events = (0..EVENTS)
        .map(|number| event(number * groups / EVENTS))
        .collect::<Result<Vec<Event>, _>>()?;
    for event in &events {
        let found = rules.judge(event).len();
        if found != MATCHING {
            return Err(format!("{found} rules match instead of {MATCHING}").into());
        }
    }
    let mut passes = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < LEAST {
        let mut judged = 0.0;
        let start = Instant::now();
        while start.elapsed() < PASS {
            for event in &events {
                black_box(rules.judge(black_box(event)));
                judged += 1.0;
            }
        }
        passes.push(start.elapsed().as_secs_f64() * 1e9 / judged);
    }
    passes.sort_by(f64::total_cmp);
    let median = passes.get(passes.len() / 2).copied();
    println!("{:.0}", median.ok_or("nothing was measured")?);
    Ok(())
}

fn load(shape: &str, count: usize, files: usize) -> Result<(), Box<dyn Error>> {
    let text = project(shape, count, files)?;
    let start = Instant::now();
    let rules = check(text)?;
    let took = start.elapsed().as_secs_f64();
    if rules.len() != count {
        return Err(format!("{} rules were read instead of {count}", rules.len()).into());
    }
    println!("{took:.3} {:.1} {:.1}", status("VmRSS")?, status("VmHWM")?);
    Ok(())
}

/// MiB that the kernel counts.
fn status(key: &str) -> Result<f64, Box<dyn Error>> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .ok_or("the kernel does not say how much memory it is")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

fn check(text: ProjectText) -> Result<RuleSet, Box<dyn Error>> {
    match rules::check(Arc::new(text), Surroundings::default()) {
        Ok(checked) => Ok(checked.rules),
        Err(findings) => Err(rules::render::diagnostics(&findings, false).into()),
    }
}

fn project(shape: &str, count: usize, files: usize) -> Result<ProjectText, Box<dyn Error>> {
    let mut texts = BTreeMap::new();
    let each = count.div_ceil(files);
    for file in 0..files {
        let mut text = String::from("rules:\n");
        for number in file * each..count.min((file + 1) * each) {
            rule(&mut text, shape, number)?;
        }
        texts.insert(format!("rules/{file:04}.yml"), text);
    }
    Ok(ProjectText {
        files: texts,
        listing: vec!["playbooks/site.yml".to_owned()],
        commit: None,
    })
}

/// Ten rules in a row are about the same events.
fn rule(text: &mut String, shape: &str, number: usize) -> Result<(), Box<dyn Error>> {
    let group = number / MATCHING;
    let (on, when) = match shape {
        "topic" => (format!("org.g{group}.#"), None),
        "equality" | "templates" => (
            "org.*.build".to_owned(),
            Some(format!("event.body.user == 'u{group}'")),
        ),
        // A hundred groups share the first number, and others the second.
        "two" => (
            "org.*.build".to_owned(),
            Some(format!(
                "event.body.first == {} and event.body.second == {}",
                group / 100,
                group % 100
            )),
        ),
        "membership" => (
            "\"#\"".to_owned(),
            Some(format!("event.body.user in ['u{group}', 'v{group}']")),
        ),
        "prefix" => (
            "org.#".to_owned(),
            Some(format!("event.body.path is match '/p/u{group}/'")),
        ),
        "mixed" => match group % 4 {
            0 => (format!("org.g{group}.build"), None),
            1 => (
                "org.#".to_owned(),
                Some(format!("msg.kind == 'build' and 'u{group}' == msg.user")),
            ),
            2 => (
                "\"#\"".to_owned(),
                Some(format!("msg.number in [{group}, -1] and msg.size > 0")),
            ),
            _ => (
                "org.#".to_owned(),
                Some(format!(
                    "msg.path is match '/p/u{group}/' or msg.path == {group}"
                )),
            ),
        },
        other => return Err(format!("no shape `{other}`").into()),
    };
    writeln!(text, "  - name: rule-{number}\n    on: {on}")?;
    if let Some(when) = when {
        writeln!(text, "    when: {when}")?;
    }
    if shape == "templates" {
        text.push_str("    key: \"{{ msg.user }}\"\n    run:\n      playbook: site.yml\n");
        text.push_str("      vars: {user: \"{{ msg.user }}\", path: \"{{ msg.path | lower }}\"}\n");
        return Ok(());
    }
    writeln!(text, "    run: {{playbook: site.yml}}")?;
    Ok(())
}

/// An event that the rules of one group match.
fn event(group: usize) -> Result<Event, serde_json::Error> {
    serde_json::from_value(json!({
        "id": format!("e-{group}"), "topic": format!("org.g{group}.build"),
        "time": "2026-11-20T22:43:00Z", "accepted": "2026-11-20T22:43:01Z",
        "source": "bench", "severity": "info", "headers": {},
        "body": {
            "kind": "build", "user": format!("u{group}"), "number": group,
            "first": group / 100, "second": group % 100, "size": 7,
            "path": format!("/p/u{group}/x"), "padding": "x".repeat(800),
        },
        "origin": {"verified": false, "by": null, "via": "http"},
    }))
}
