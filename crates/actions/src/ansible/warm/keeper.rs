//! Looks after one fork server from its start to its end: waits until it has
//! loaded Ansible, has it proven, passes requests on to it, and ends it when
//! it is not wanted or not to be trusted any more.

use std::{
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{net::UnixStream, sync::mpsc};
use tracing::{debug, info};

use super::{
    Proof, Shared, lock,
    proof::{self, Trial, Unproven},
    seed::Seed,
    server::{self, Over, Ready, Request, Server},
};
use crate::{
    ansible::cold,
    process::{self, End, Ended, Kept, Program},
    step::{self, StepFiles},
};

/// Between the polite signal to a server and the kill.
const GRACE: Duration = Duration::from_secs(2);

/// The program, and what it imports.
pub(super) const SOURCES: [(&str, &str); 6] = [
    (
        "lariat_warm.py",
        include_str!("../../../../../ansible/warm/lariat_warm.py"),
    ),
    (
        "lariat_warm_ansible.py",
        include_str!("../../../../../ansible/warm/lariat_warm_ansible.py"),
    ),
    (
        "lariat_warm_bytecode.py",
        include_str!("../../../../../ansible/warm/lariat_warm_bytecode.py"),
    ),
    (
        "lariat_warm_run.py",
        include_str!("../../../../../ansible/warm/lariat_warm_run.py"),
    ),
    (
        "lariat_warm_shelf.py",
        include_str!("../../../../../ansible/warm/lariat_warm_shelf.py"),
    ),
    (
        "lariat_warm_trace.py",
        include_str!("../../../../../ansible/warm/lariat_warm_trace.py"),
    ),
];

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) seed: Seed,
    pub(super) generation: u64,
}

impl Keeper {
    /// Returns when the server and all of its runs have ended.
    pub(super) async fn run(self, server: Server, mut requests: mpsc::Receiver<Request>) {
        // The files stay until nothing runs that may read them.
        let (kept, _files) = match self.start() {
            Ok(started) => started,
            Err(reason) => return self.fail(&reason),
        };
        let Kept {
            mut control,
            handle,
            watch,
        } = kept;
        let said = Arc::new(Mutex::new(String::new()));
        let last = Arc::clone(&said);
        let mut watch = pin!(watch.run(move |line: &str| {
            debug!("a fork server says: {line}");
            line.clone_into(&mut lock(&last));
        }));
        let over = {
            let serving = self.serve(server, &mut control, &mut requests);
            tokio::select! {
                end = &mut watch => return self.fail(&died(&end, &lock(&said))),
                over = serving => over,
            }
        };
        // Who still waits for an answer starts cold.
        drop(requests);
        match over {
            Over::Failed(reason) => self.fail(&reason),
            Over::Idle => self.shared.forget(&self.seed.key, self.generation),
            Over::Unwanted => {}
        }
        drop(control);
        handle.end(GRACE);
        watch.await;
    }

    /// In an environment like that of its runs, in the same directory.
    fn start(&self) -> Result<(Kept, StepFiles), String> {
        let interpreter = self.seed.interpreter().map_err(|error| error.to_string())?;
        let settings = &self.shared.settings;
        let context = proof::context(&self.seed, settings);
        let files = StepFiles::create(settings, &context)?;
        cold::furnish_bare(&files)?;
        let own = |error: std::io::Error| format!("the private files of a fork server: {error}");
        let mut argv = vec![interpreter.program.display().to_string()];
        argv.extend(interpreter.flags);
        files.dir.directory("warm").map_err(own)?;
        for (name, text) in SOURCES {
            let name = format!("warm/{name}");
            files.dir.file(&name, text.as_bytes()).map_err(own)?;
        }
        argv.push(
            files
                .place()
                .join("warm/lariat_warm.py")
                .display()
                .to_string(),
        );
        argv.push(self.seed.key.program.display().to_string());
        let mut environment = self.seed.environment(&files.place());
        files.identify(&mut environment, &context);
        let program = Program {
            program: interpreter.program,
            argv,
            environment,
            directory: self.seed.key.directory.clone(),
            stdin: PathBuf::from("/dev/null"),
            result: None,
            tasks: None,
            private: files.dir.private(),
            detach: false,
        };
        let kept = process::keep(program, self.seed.account.as_deref(), settings)?;
        Ok((kept, files))
    }

    async fn serve(
        &self,
        server: Server,
        control: &mut UnixStream,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Over {
        let ready = match server::hello(control).await {
            Ok(ready) => ready,
            Err(reason) => return Over::Failed(reason),
        };
        self.shared
            .note_version(&self.seed.key, self.generation, ready.version());
        // It is asked for the proof's own run meanwhile, and for no other.
        tokio::select! {
            over = server::serve(control, requests, Duration::MAX) => return over,
            result = self.prove(&server, &ready) => match result {
                Ok(()) => self.shared.open(&self.seed.key, self.generation, &server),
                Err(over) => return over,
            }
        }
        // The pool's own is what keeps it wanted.
        drop(server);
        let limits = self.shared.limits;
        let idle = limits.map_or(Duration::MAX, |limits| limits.idle);
        server::serve(control, requests, idle).await
    }

    /// Unless it is known already what would come of it.
    async fn prove(&self, server: &Server, ready: &Ready) -> Result<(), Over> {
        let key = &self.seed.key;
        let version = ready.version();
        if self.shared.is_proven(key, &version) {
            return Ok(());
        }
        let watched = self.seed.watched();
        let trial = Trial {
            shared: &self.shared,
            seed: &self.seed,
            server,
        };
        let result = match trial.run().await {
            Ok(()) => Ok(()),
            Err(Unproven::Differs(how)) => Err(how),
            // That says nothing about the next time.
            Err(Unproven::Failed(reason)) => return Err(Over::Failed(reason)),
        };
        info!(
            program = %key.program.display(),
            account = key.account.as_ref().map(ToString::to_string),
            version,
            "a warm start was compared with a cold one: {}",
            result.as_ref().err().map_or("no difference", String::as_str)
        );
        let proof = Proof {
            watched,
            version,
            result: result.clone(),
        };
        self.shared.remember(key, proof);
        result.map_err(|how| {
            self.shared.refute(key, self.generation, how);
            Over::Unwanted
        })
    }

    fn fail(&self, reason: &str) {
        self.shared.fail(&self.seed.key, self.generation, reason);
    }
}

fn died(ended: &Ended, said: &str) -> String {
    let how = match (&ended.end, ended.exit) {
        (End::Unstartable { reason }, _) => return format!("the fork server: {reason}"),
        (_, Some(exit)) => step::describe(exit),
        (_, None) => "its guard was killed".to_owned(),
    };
    if said.is_empty() {
        format!("the fork server ended: {how}")
    } else {
        format!("the fork server ended: {how}: {said}")
    }
}
