//! `lariat token`: who may ask the service.
//!
//! A service that runs on the store is asked, since the store is its own. When
//! none does, the store is opened here: whoever may write its file may let
//! people in, and that is how the first admin comes to be.

use api::json::{List, NewToken, Token, TokenRequest};
use model::{
    clock::Clock,
    fault::NoFaults,
    id::{Principal, TokenName},
    ports::{
        Upkeep,
        access::{Created, MOST_TOKENS, Revoked, TokenDraft, Tokens},
    },
    token::{Role, Secret},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use store::{OpenError, SqliteOptions, SqliteStore};

use crate::{
    args::access::{self, Place},
    check,
    client::{Client, Credentials},
    clock::SystemClock,
    config::{self, StoreUrl},
    console::{Column, Console, Span, Style, Table},
    exit::Exit,
    failure::Failure,
};

const DEADLINE: Duration = Duration::from_secs(10);

/// Where tokens are kept.
enum Keeper {
    Service(Client),
    Store(Box<SqliteStore>),
}

pub(crate) async fn run(
    command: &access::Token,
    (url, credentials): (Option<&str>, Credentials),
    console: &mut Console,
) -> Result<(), Failure> {
    let clock = Arc::new(SystemClock::new().map_err(Failure::unexpected)?);
    let place = command.place();
    // What was said of the place itself counts more than an address, which may
    // be a variable that nobody thinks of: a token closes the service it is in.
    let is_named = place.project.is_some() || place.store.is_some();
    let keeper = match url.filter(|_| !is_named) {
        Some(url) => Keeper::Service(Client::new(url, credentials)?),
        None => find(place, credentials, &clock).await?,
    };
    let done = Box::pin(act(command, (&keeper, clock.as_ref()), console)).await;
    if let Keeper::Store(store) = &keeper {
        store.close().await;
    }
    done
}

async fn find(
    place: &Place,
    credentials: Credentials,
    clock: &Arc<SystemClock>,
) -> Result<Keeper, Failure> {
    let here = Path::new(".");
    let root = check::locate(place.project.as_deref().unwrap_or(here))?;
    let loaded = config::load(&root);
    if loaded.has_errors() {
        let message = format!("`{}` has no sound lariat.yml", root.display());
        return Err(Failure::message(Exit::Configuration, message)
            .hint("`lariat check` says what is wrong; `--url` asks a service instead"));
    }
    let store = match &place.store {
        None => loaded.config.store.clone(),
        Some(text) => text.parse::<StoreUrl>().map_err(|error| {
            Failure::new(Exit::Usage, error).context(format!("`{text}` is not a store"))
        })?,
    };
    let options = SqliteOptions {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        faults: Arc::new(NoFaults),
        queue_limit: loaded.config.limits.queue,
        owner: format!("pid {}, `lariat token`", std::process::id()),
        deadline: DEADLINE,
    };
    match SqliteStore::open(&store.path(&root), options).await {
        Ok(store) => Ok(Keeper::Store(Box::new(store))),
        Err(OpenError::Owned { path, by }) => {
            let scheme = match &loaded.config.listen_tls {
                Some(_) => "https",
                None => "http",
            };
            let Some(address) = listening(&by) else {
                return Err(
                    Failure::new(Exit::Unreachable, OpenError::Owned { path, by })
                        .hint("`--url` says where the service is that uses it"),
                );
            };
            Ok(Keeper::Service(Client::new(
                &format!("{scheme}://{address}"),
                credentials,
            )?))
        }
        Err(error) => Err(Failure::unexpected(error).context("cannot open the store")),
    }
}

/// Where the owner of a store listens, out of what it says of itself, see
/// `serve.rs`. What listens on all addresses also does on this machine's own.
fn listening(owner: &str) -> Option<SocketAddr> {
    let (_, address) = owner.rsplit_once("listening on ")?;
    let mut address: SocketAddr = address.trim().parse().ok()?;
    if address.ip().is_unspecified() {
        let own = if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(own);
    }
    Some(address)
}

async fn act(
    command: &access::Token,
    (keeper, clock): (&Keeper, &dyn Clock),
    console: &mut Console,
) -> Result<(), Failure> {
    match command {
        access::Token::Create {
            role,
            name,
            expires,
            place: _,
            json,
        } => {
            let asked = TokenRequest {
                name: name.clone(),
                role: *role,
                expires: expires.map(|expires| expires.at(clock.now())),
            };
            let (made, is_first) = keeper.create(asked, clock).await?;
            if json.json {
                return console.json(&value(&made)?);
            }
            let Token { name, role, .. } = &made.token;
            let end = match made.token.expires {
                Some(end) => format!("until {end}"),
                None => "without end; `--expires 90d` gives one".to_owned(),
            };
            console.say(&format!(
                "token `{name}`, role {role}, {end}; it is shown this once:"
            ));
            console.line(&made.secret)?;
            if is_first {
                console.say("from now on the service answers nobody without a token");
                if *role != Role::Admin {
                    console.hint(
                        "this one makes no others: `lariat token create --role admin` on the store of a stopped service makes one that does",
                    );
                }
            }
            console.hint("programs send it as `Authorization: Bearer …`; the command line reads it from LARIAT_TOKEN or `--token-file FILE`");
            Ok(())
        }
        access::Token::List { place: _, json } => {
            let tokens = keeper.list(clock).await?;
            if json.json {
                return console.json(&value(&List {
                    items: tokens,
                    next: None,
                })?);
            }
            table(&tokens, console)
        }
        access::Token::Revoke {
            token,
            place: _,
            json,
        } => {
            let revoked = keeper.revoke(token, clock).await?;
            if json.json {
                return console.json(&value(&revoked)?);
            }
            let Token { name, id, .. } = &revoked;
            console.say(&format!("token `{name}` ({id}) lets nobody in any more"));
            Ok(())
        }
    }
}

impl Keeper {
    /// Also says whether it is the first that there ever was, as far as can
    /// be told.
    async fn create(
        &self,
        asked: TokenRequest,
        clock: &dyn Clock,
    ) -> Result<(NewToken, bool), Failure> {
        let store = match self {
            Self::Service(client) => {
                let made: NewToken = client.post(&["tokens"], &asked).await?.read()?;
                let is_first = made.token.created_by.0 == "api";
                return Ok((made, is_first));
            }
            Self::Store(store) => store,
        };
        let name = asked.name.clone();
        if name.is_reserved() {
            let message = format!("`{name}` says who asks without a token");
            return Err(Failure::message(Exit::Usage, message).hint("choose another name"));
        }
        if asked.expires.is_some_and(|end| end <= clock.now()) {
            return Err(Failure::message(
                Exit::Usage,
                "the token would be expired already",
            ));
        }
        let is_first = store.all().await.map_err(Failure::unexpected)?.is_empty();
        let secret = Secret::generate().map_err(Failure::unexpected)?;
        let draft = TokenDraft {
            id: secret.id(),
            hash: secret.hash(),
            name: asked.name,
            role: asked.role,
            expires: asked.expires,
            by: local(),
        };
        let created = Tokens::create(store.as_ref(), draft).await;
        match created.map_err(Failure::unexpected)? {
            Created::Done(token) => {
                let token = Token::new(token, clock.now());
                let secret = secret.reveal().to_owned();
                Ok((NewToken { token, secret }, is_first))
            }
            Created::NameTaken => {
                let message = format!("a token `{name}` is there already");
                Err(Failure::message(Exit::Unexpected, message)
                    .hint("revoke it first, or choose another name"))
            }
            Created::Full => {
                let message = format!("{MOST_TOKENS} tokens have not ended");
                Err(Failure::message(Exit::Unexpected, message).hint("revoke some first"))
            }
        }
    }

    async fn list(&self, clock: &dyn Clock) -> Result<Vec<Token>, Failure> {
        match self {
            Self::Service(client) => {
                let list: List<Token> = client.get(&["tokens"], &[]).await?.read()?;
                Ok(list.items)
            }
            Self::Store(store) => {
                let kept = store.all().await.map_err(Failure::unexpected)?;
                let now = clock.now();
                Ok(kept
                    .into_iter()
                    .map(|kept| Token::new(kept.token, now))
                    .collect())
            }
        }
    }

    async fn revoke(&self, token: &TokenName, clock: &dyn Clock) -> Result<Token, Failure> {
        let store = match self {
            Self::Service(client) => {
                let path = ["tokens", token.as_str(), "revoke"];
                let answer = client.post(&path, &json!({})).await;
                return answer?.read();
            }
            Self::Store(store) => store,
        };
        let kept = store.all().await.map_err(Failure::unexpected)?;
        let unknown = || {
            let names = kept.iter().map(|kept| kept.token.name.as_str());
            let hint = match model::suggest::nearest(token.as_str(), names) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`lariat token list` shows all".to_owned(),
            };
            Failure::message(Exit::Unexpected, format!("there is no token `{token}`")).hint(hint)
        };
        let meant = kept
            .iter()
            .map(|kept| &kept.token)
            .find(|found| access::names(token, &found.id, &found.name, found.revoked.is_some()));
        let id = &meant.ok_or_else(unknown)?.id;
        let revoked = Tokens::revoke(store.as_ref(), id, &local()).await;
        match revoked.map_err(Failure::unexpected)? {
            Revoked::Done(token) | Revoked::Before(token) => Ok(Token::new(token, clock.now())),
            Revoked::NotFound => Err(unknown()),
        }
    }
}

/// Who can write the file of the store.
fn local() -> Principal {
    Principal("local".to_owned())
}

fn value(answer: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(Failure::unexpected)
}

fn table(tokens: &[Token], console: &mut Console) -> Result<(), Failure> {
    if tokens.is_empty() {
        console.say("there are no tokens: the service is open to its own machine, and to no other");
        return Ok(());
    }
    let mut table = Table::new(&[
        Column::Elastic("NAME"),
        Column::Fixed("ROLE"),
        Column::Fixed("STATE"),
        Column::Time("CREATED"),
        Column::Time("EXPIRES"),
        Column::Time("LAST USED"),
        Column::Fixed("ID"),
    ]);
    for token in tokens {
        let time = |at: Option<model::clock::Timestamp>| {
            Span::plain(at.map(|at| at.to_string()).unwrap_or_default())
        };
        let style = match token.state.as_str() {
            "live" => Style::Green,
            _ => Style::Dim,
        };
        table.row(vec![
            Span::new(Style::Bold, token.name.as_str()),
            Span::plain(token.role.as_str()),
            Span::new(style, &token.state),
            Span::plain(token.created.to_string()),
            time(token.expires),
            time(token.last_used),
            Span::plain(token.id.as_str()),
        ]);
    }
    console.table(&table)
}

#[cfg(test)]
mod tests {
    use super::listening;

    #[test]
    fn an_owner_says_where_it_listens() {
        for (owner, expected) in [
            (
                "pid 7, lariat 0.1.0, started x, listening on 127.0.0.1:8470",
                Some("127.0.0.1:8470"),
            ),
            ("pid 7, listening on 0.0.0.0:80", Some("127.0.0.1:80")),
            ("pid 7, listening on [::]:80", Some("[::1]:80")),
            ("pid 7", None),
            ("another process", None),
        ] {
            let found = listening(owner).map(|address| address.to_string());
            assert_eq!(expected, found.as_deref(), "{owner}");
        }
    }
}
