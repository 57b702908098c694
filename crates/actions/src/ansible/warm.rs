//! Warm starts: fork servers that keep Ansible loaded, and when one is used.
//!
//! A playbook starts warm only if a fork server of its project, configuration,
//! environment, account and Python is there and has been proven by comparison
//! with a cold start. In every other case it starts cold at once and nothing
//! waits for a fork server: not for its start, not for its proof, and not
//! longer than a few seconds for an answer. What has begun is never begun
//! again.
//!
//! [`server`] is one fork server, [`proof`] the comparison, [`stamp`] what a
//! server holds in memory and would be replaced for.

mod interpreter;
mod keeper;
mod proof;
mod seed;
mod server;
mod stamp;

use std::{
    collections::HashMap,
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use model::warm::{Starts, WarmServer, WarmState};
use tokio::{task::JoinSet, time::Instant};

use self::{
    keeper::Keeper,
    seed::{Key, Seed},
    server::Server,
    stamp::Watched,
};
use super::cold::Recipe;
use crate::{
    process::{self, GuardPipes, Program},
    settings::{ActionSettings, WarmSettings},
};

/// A server that failed is started again after this long, then twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A server that was asked so lately does not make room for another.
const IN_USE: Duration = Duration::from_secs(30);

/// Results of proofs that are remembered.
const MOST_PROOFS: usize = 1_000;

/// The fork servers of a process. Dropping it ends them, and their runs.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    /// One for each server that lives.
    keepers: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    settings: ActionSettings,
    /// Absent: everything starts cold.
    limits: Option<WarmSettings>,
    state: Mutex<State>,
    /// Our binary under a name that means the same to other processes.
    guard: PathBuf,
    numbers: AtomicU64,
    warm: AtomicU64,
    cold: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Key, Slot>,
    proofs: HashMap<Key, Proof>,
    generations: u64,
}

/// The place of one fork server, whether there is one or not.
#[derive(Debug)]
struct Slot {
    /// Which server, of all that had this place.
    generation: u64,
    standing: Standing,
    watched: Arc<Watched>,
    version: Option<String>,
    started: u64,
    /// In a row.
    failures: u32,
    used: Instant,
}

#[derive(Debug)]
enum Standing {
    Proving(Server),
    Ready(Server),
    Cold {
        reason: String,
        /// Absent: not before something changes.
        again: Option<Instant>,
    },
}

/// What came of a proof, and for what it counts.
#[derive(Debug, Clone)]
struct Proof {
    watched: Watched,
    version: String,
    result: Result<(), String>,
}

/// Leave to ask a server for one run.
#[derive(Debug)]
pub(super) struct Ticket {
    server: Server,
    key: Key,
    generation: u64,
}

impl Pool {
    pub(super) fn new(settings: ActionSettings) -> Self {
        let limits = settings.warm;
        Self {
            shared: Arc::new(Shared {
                guard: process::shared_name(&settings.guard),
                settings,
                limits,
                state: Mutex::default(),
                numbers: AtomicU64::new(1),
                warm: AtomicU64::new(0),
                cold: AtomicU64::new(0),
            }),
            keepers: Mutex::default(),
        }
    }

    /// A server for this run, when one is ready. `Err`: why it starts cold.
    /// Sees to it that there will be one for the next.
    pub(super) fn ticket(&self, recipe: &Recipe) -> Result<Ticket, String> {
        let Some(limits) = self.shared.limits else {
            return Err("`ansible.warm` is false".to_owned());
        };
        let seed = Seed::new(recipe);
        let found = self.shared.state().look(&seed.key, Instant::now());
        // Files are looked at while nobody waits for the state.
        let before = match found {
            Some(found) if found.watched.is_current() => match found.stands {
                Stands::Ready(server) => {
                    return Ok(Ticket {
                        server,
                        key: seed.key,
                        generation: found.generation,
                    });
                }
                Stands::Cold(reason) => return Err(reason),
                Stands::Due => Some(found.generation),
            },
            Some(found) => Some(found.generation),
            None => None,
        };
        Err(self.replace(seed, before, limits.max))
    }

    /// Puts a new server in the place of generation `before`. Says why this
    /// run cannot wait for it.
    fn replace(&self, seed: Seed, before: Option<u64>, max: usize) -> String {
        let now = Instant::now();
        let watched = Arc::new(seed.watched());
        let (refused, again) = match seed.interpreter() {
            Ok(_) => (self.shared.refuted(&seed.key), None),
            // It may come, nobody knows which file to watch for that, and to
            // look again costs little.
            Err(reason) => (Some(reason.to_string()), Some(now + FIRST_PAUSE)),
        };
        let mut state = self.shared.state();
        let current = state.slots.get(&seed.key).map(|slot| slot.generation);
        if current != before {
            // Another run was faster.
            return PROVING.to_owned();
        }
        if current.is_none()
            && let Err(full) = state.make_room(max, now)
        {
            return full;
        }
        let reason = refused.clone().unwrap_or_else(|| PROVING.to_owned());
        state.generations += 1;
        let generation = state.generations;
        let standing = match refused {
            Some(reason) => Standing::Cold { reason, again },
            None => Standing::Proving(self.begin(&seed, generation)),
        };
        let last = state.slots.remove(&seed.key);
        let (started, failures) = last.map_or((0, 0), |slot| (slot.started, slot.failures));
        let slot = Slot {
            generation,
            standing,
            watched,
            version: None,
            started,
            failures,
            used: now,
        };
        state.slots.insert(seed.key, slot);
        reason
    }

    /// Starts a server, which proves itself before it is ready.
    fn begin(&self, seed: &Seed, generation: u64) -> Server {
        let (server, requests) = Server::new();
        let keeper = Keeper {
            shared: Arc::clone(&self.shared),
            seed: seed.clone(),
            generation,
        };
        let mut keepers = lock(&self.keepers);
        while keepers.try_join_next().is_some() {}
        keepers.spawn(keeper.run(server.clone(), requests));
        server
    }

    /// Has the server fork the run and its guard. `Err`: nothing began.
    pub(super) async fn fork(
        &self,
        ticket: &Ticket,
        program: &Program,
    ) -> Result<GuardPipes, String> {
        self.shared.fork(&ticket.server, program).await
    }

    /// A run began in the server's hands.
    pub(super) fn began(&self, ticket: &Ticket) {
        self.shared.warm.fetch_add(1, Ordering::Relaxed);
        let mut state = self.shared.state();
        if let Some(slot) = state.of(&ticket.key, ticket.generation) {
            slot.started += 1;
            slot.failures = 0;
            slot.used = Instant::now();
        }
    }

    /// A run began without one.
    pub(super) fn began_cold(&self) {
        self.shared.cold.fetch_add(1, Ordering::Relaxed);
    }

    /// The server did not begin a run that it was asked for.
    pub(super) fn failed(&self, ticket: &Ticket, reason: &str) {
        self.shared.fail(&ticket.key, ticket.generation, reason);
    }

    pub(super) fn starts(&self) -> Starts {
        let state = self.shared.state();
        let mut servers: Vec<WarmServer> = state
            .slots
            .iter()
            .map(|(key, slot)| {
                let (state, reason) = match &slot.standing {
                    Standing::Proving(_) => (WarmState::Proving, None),
                    Standing::Ready(_) => (WarmState::Ready, None),
                    Standing::Cold { reason, .. } => (WarmState::Cold, Some(reason.clone())),
                };
                WarmServer {
                    program: key.program.display().to_string(),
                    account: key.account.clone(),
                    version: slot.version.clone(),
                    state,
                    reason,
                    started: slot.started,
                }
            })
            .collect();
        servers.sort_by(|a, b| (&a.account, &a.program).cmp(&(&b.account, &b.program)));
        Starts {
            is_warm: self.shared.limits.is_some(),
            warm: self.shared.warm.load(Ordering::Relaxed),
            cold: self.shared.cold.load(Ordering::Relaxed),
            servers,
        }
    }
}

const PROVING: &str = "its fork server is starting or being proven";

/// A slot as a run finds it.
struct Found {
    generation: u64,
    watched: Arc<Watched>,
    stands: Stands,
}

enum Stands {
    Ready(Server),
    Cold(String),
    /// A server has to be started.
    Due,
}

impl State {
    fn look(&mut self, key: &Key, now: Instant) -> Option<Found> {
        let slot = self.slots.get_mut(key)?;
        slot.used = now;
        let stands = match &slot.standing {
            Standing::Ready(server) if server.is_open() => Stands::Ready(server.clone()),
            Standing::Proving(server) if server.is_open() => Stands::Cold(PROVING.to_owned()),
            Standing::Ready(_) | Standing::Proving(_) => Stands::Due,
            Standing::Cold {
                again: Some(again), ..
            } if *again <= now => Stands::Due,
            Standing::Cold { reason, .. } => Stands::Cold(reason.clone()),
        };
        Some(Found {
            generation: slot.generation,
            watched: Arc::clone(&slot.watched),
            stands,
        })
    }

    /// The slot, if it still has that server.
    fn of(&mut self, key: &Key, generation: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key)?;
        (slot.generation == generation).then_some(slot)
    }

    /// Ends the server that was not used for longest, when there are too many.
    fn make_room(&mut self, max: usize, now: Instant) -> Result<(), String> {
        while self.slots.len() >= max {
            let oldest = self.slots.iter().min_by_key(|(_, slot)| slot.used);
            let Some((key, slot)) = oldest else {
                return Ok(());
            };
            if now.duration_since(slot.used) < IN_USE {
                return Err(format!(
                    "all {max} fork servers of `ansible.warm_max` are in use"
                ));
            }
            let key = key.clone();
            self.slots.remove(&key);
        }
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    async fn fork(&self, server: &Server, program: &Program) -> Result<GuardPipes, String> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (ours, ends) = process::pipes().map_err(|error| format!("pipes: {error}"))?;
        let asked = server.fork(program, &self.guard, (number, ends));
        asked.await.map(|()| ours)
    }

    fn note_version(&self, key: &Key, generation: u64, version: String) {
        if let Some(slot) = self.state().of(key, generation) {
            slot.version = Some(version);
        }
    }

    /// The server is proven: runs may be asked for.
    fn open(&self, key: &Key, generation: u64, server: &Server) {
        if let Some(slot) = self.state().of(key, generation) {
            slot.standing = Standing::Ready(server.clone());
        }
    }

    /// The server does something else than a cold start. That stays so until
    /// something changes.
    fn refute(&self, key: &Key, generation: u64, reason: String) {
        if let Some(slot) = self.state().of(key, generation) {
            slot.standing = Standing::Cold {
                reason,
                again: None,
            };
        }
    }

    /// There is no server any more, and none is missed.
    fn forget(&self, key: &Key, generation: u64) {
        let mut state = self.state();
        if state.of(key, generation).is_some() {
            state.slots.remove(key);
        }
    }

    fn is_proven(&self, key: &Key, version: &str) -> bool {
        let known = self.state().proofs.get(key).cloned();
        known.is_some_and(|proof| {
            proof.result.is_ok() && proof.version == version && proof.watched.is_current()
        })
    }

    fn remember(&self, key: &Key, proof: Proof) {
        let mut state = self.state();
        if state.proofs.len() >= MOST_PROOFS {
            state.proofs.clear();
        }
        state.proofs.insert(key.clone(), proof);
    }

    /// Why a proof failed that still counts.
    fn refuted(&self, key: &Key) -> Option<String> {
        let proof = self.state().proofs.get(key).cloned()?;
        let reason = proof.result.err()?;
        proof.watched.is_current().then_some(reason)
    }

    /// Playbooks start cold until it is time to try again. The server goes:
    /// nobody can ask it any more.
    fn fail(&self, key: &Key, generation: u64, reason: &str) {
        let mut state = self.state();
        let Some(slot) = state.of(key, generation) else {
            return;
        };
        if matches!(slot.standing, Standing::Cold { .. }) {
            return;
        }
        slot.failures += 1;
        // The first time it is probably somebody's doing and not the server's.
        let again = Instant::now() + pause(slot.failures - 1);
        tracing::warn!(
            program = %key.program.display(),
            again_secs = pause(slot.failures - 1).as_secs(),
            "playbooks start cold: {reason}"
        );
        drop(mem::replace(
            &mut slot.standing,
            Standing::Cold {
                reason: reason.to_owned(),
                again: Some(again),
            },
        ));
    }
}

fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => (FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures - 1))).min(LONGEST_PAUSE),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
