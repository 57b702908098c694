//! The binary: commands, configuration, wiring and printing. It decides
//! nothing about events or jobs.
//!
//! Where to look: `args.rs` for what can be typed, `config.rs` for
//! `lariat.yml`, `wiring.rs` for what the service is made of, `serve.rs` for
//! its life, `commands/` for what talks to it.

use std::{ffi::OsString, process::ExitCode};

use crate::{
    args::{Cli, Command, Config, Import},
    client::{Client, Credentials},
    config::Environment,
    console::{Colours, Console},
    exit::Exit,
    failure::Failure,
};

mod args;
mod check;
mod client;
mod clock;
mod commands;
mod config;
mod console;
mod exit;
mod failure;
mod faults;
mod import;
mod init;
mod logging;
mod project;
mod serve;
mod span;
mod usage;
mod wiring;

const DEFAULT_URL: &str = "http://127.0.0.1:8470";

fn main() -> ExitCode {
    // The guard of a step is this binary, before it is anything else.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "guard-exec")
    {
        return actions::guard::main();
    }
    let environment = Environment::read();
    let args: Vec<OsString> = std::env::args_os().collect();
    let mut looks = environment.looks;
    if let Some(colours) = usage::colours(&args).filter(|colours| *colours != Colours::Auto) {
        looks.colours = colours;
    }
    let mut console = Console::new(looks);
    let came = match usage::parse(&args, looks.colours) {
        Ok(cli) => run(&cli, &environment, &mut console),
        Err(error) => usage::answer(&error, &mut console),
    };
    console.waited();
    let exit = came.unwrap_or_else(|failure| {
        failure.print(&mut console);
        failure.exit()
    });
    ExitCode::from(exit.code())
}

fn run(cli: &Cli, environment: &Environment, console: &mut Console) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Init(init) => init::run(init, console).map(|()| Exit::Ok),
        Command::Import(Import::Loopabull(import)) => {
            import::run(import, console).map(|()| Exit::Ok)
        }
        Command::Serve(serve) => {
            let runtime = service_runtime()?;
            let ended = runtime.block_on(Box::pin(serve::run(serve, environment, console)));
            // What still runs in the background has nothing left to record.
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            ended
        }
        Command::Config(Config::Show(show)) => {
            commands::config::run(show, environment, console).map(|()| Exit::Ok)
        }
        Command::Completions(completions) => {
            commands::completions::run(completions, console).map(|()| Exit::Ok)
        }
        Command::Man(man) => commands::man::run(man, console).map(|()| Exit::Ok),
        Command::Check(check) => {
            let service = if check.seen {
                Some(client(cli, environment)?)
            } else {
                None
            };
            let checked = Box::pin(check::run(check, environment, service.as_ref(), console));
            client_runtime()?.block_on(checked).map(|()| Exit::Ok)
        }
        Command::Accounts(accounts) => {
            commands::accounts::run(accounts, environment, console).map(|()| Exit::Ok)
        }
        Command::Test(test) => commands::test::run(test, console).map(|()| Exit::Ok),
        Command::Schema(schema) => commands::schema::run(schema, console).map(|()| Exit::Ok),
        Command::Token(token) => {
            let url = cli.url.as_ref().or(environment.url.as_ref());
            let reach = (
                url.map(String::as_str),
                Credentials::read(cli, environment)?,
            );
            let done = Box::pin(commands::token::run(token, reach, console));
            client_runtime()?.block_on(done).map(|()| Exit::Ok)
        }
        Command::Explain(explain) if explain.subject.is_local() => {
            commands::explain::local(explain, console).map(|()| Exit::Ok)
        }
        Command::Publish(_)
        | Command::Explain(_)
        | Command::Events(_)
        | Command::Jobs(_)
        | Command::Dead(_)
        | Command::Status(_)
        | Command::Tail(_)
        | Command::Reload(_)
        | Command::Audit(_) => {
            let client = client(cli, environment)?;
            let reach = (&client, environment);
            client_runtime()?.block_on(Box::pin(ask(&cli.command, reach, console)))
        }
    }
}

/// A client of the service that is asked for.
fn client(cli: &Cli, environment: &Environment) -> Result<Client, Failure> {
    let url = cli.url.as_ref().or(environment.url.as_ref());
    let credentials = Credentials::read(cli, environment)?;
    Client::new(url.map_or(DEFAULT_URL, String::as_str), credentials)
}

/// Commands that talk to a running service.
async fn ask(
    command: &Command,
    (client, environment): (&Client, &Environment),
    console: &mut Console,
) -> Result<Exit, Failure> {
    match command {
        Command::Publish(publish) => return commands::publish::run(publish, client, console).await,
        Command::Jobs(jobs) => {
            return commands::jobs::run(jobs, (client, environment), console).await;
        }
        Command::Explain(explain) => commands::explain::run(explain, client, console).await?,
        Command::Events(events) => commands::events::run(events, client, console).await?,
        Command::Dead(dead) => commands::dead::run(dead, client, console).await?,
        Command::Status(json) => commands::status::run(json, client, console).await?,
        Command::Tail(tail) => commands::tail::run(tail, client, console).await?,
        Command::Reload(json) => commands::reload::run(json, client, console).await?,
        Command::Audit(audit) => commands::audit::run(audit, client, console).await?,
        Command::Init(_)
        | Command::Import(_)
        | Command::Serve(_)
        | Command::Check(_)
        | Command::Accounts(_)
        | Command::Test(_)
        | Command::Schema(_)
        | Command::Token(_)
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Man(_) => {}
    }
    Ok(Exit::Ok)
}

fn service_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 4))
        .enable_all()
        .build()
        .map_err(Failure::unexpected)
}

fn client_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::unexpected)
}
