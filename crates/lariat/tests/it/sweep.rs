//! The crash sweep: the real binary is killed at every fault point and at
//! random moments under load, stopped past its leases, and must lose nothing,
//! run nothing twice at once, and leave nothing behind.
//!
//! `LARIAT_SWEEP_MOMENTS` sets the number of random moments (default 60).
//! The seed is printed and can be given in `LARIAT_SWEEP_SEED`.

mod account;
mod load;
mod server;

use std::{collections::BTreeMap, path::Path, time::Duration};

use account::Account;
use load::Load;
use model::fault::FaultPoint;
use nix::sys::signal::Signal;
use server::Server;
use testkit::process::{processes_with, wait_gone, wait_until};

/// While processes are killed, leases outlast the wait for orphans: what ends
/// them is that their worker is gone, and not that its lease ran out.
const LONG_LEASE: &str = "12s";

/// While processes are stopped, being stopped past a lease takes seconds.
const SHORT_LEASE: &str = "2s";

/// How long what a dead worker left may take to be gone.
const DYING: Duration = Duration::from_secs(5);

/// How often a moment is one at which a long job surely runs.
const EVERY: u64 = 5;

fn config(lease: &str) -> String {
    format!(
        "store: sqlite:lariat.db\n\
         workers: {{concurrency: 4, lease: {lease}}}\n\
         retention: {{every: 1s}}\n"
    )
}

/// How long anything here may take before it counts as never.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long everything that was accepted may take to end.
const SETTLING: Duration = Duration::from_secs(600);

fn rules(runs: &Path) -> String {
    let runs = runs.display();
    let step = |seconds: &str| {
        format!("{{command: [sh, work.sh, \"{seconds}\"], env: {{RUNS: \"{runs}\"}}, grace: 1s}}")
    };
    let (short, slow, long) = (step("0.01"), step("2"), step("60"));
    format!(
        "rules:\n\
         \x20 - {{name: plain, on: sweep.plain, on_lost: retry, retry: {{delay: 100ms}}, run: {short}}}\n\
         \x20 - {{name: keyed, on: sweep.keyed, key: \"{{{{ msg.key }}}}\", on_lost: retry, retry: {{delay: 100ms}}, run: {short}}}\n\
         \x20 - {{name: steps, on: sweep.steps, throttle: {{limit: 20, per: 1s, then: queue}}, on_lost: retry, retry: {{delay: 100ms}}, run: [{short}, {short}]}}\n\
         \x20 - {{name: slow, on: sweep.slow, on_lost: retry, retry: {{delay: 100ms}}, run: {slow}}}\n\
         \x20 - {{name: long, on: sweep.long, on_lost: retry, retry: {{delay: 100ms}}, run: {long}}}\n"
    )
}

/// One step of one attempt: notes that it begins and ends, and holds a lock
/// that no other attempt of its job may find taken. Every fourth job leaves a
/// process of its own session behind, which holds the lock as well. A long
/// job is long in its first attempt only.
const WORK: &str = r#"
exec 9>>"$RUNS/$LARIAT_JOB.lock"
flock -n 9 || echo "overlap $LARIAT_JOB $LARIAT_ATTEMPT" >>"$RUNS/log"
echo "start $LARIAT_JOB $LARIAT_ATTEMPT" >>"$RUNS/log"
echo "working on $LARIAT_EVENT_ID"
case $LARIAT_JOB in *[048c]) setsid sleep 60 & ;; esac
if [ "$1" = 60 ] && [ "$LARIAT_ATTEMPT" != 1 ]; then set -- 0; fi
sleep "$1"
echo "end $LARIAT_JOB $LARIAT_ATTEMPT" >>"$RUNS/log"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_sweep() {
    let moments = number_from("LARIAT_SWEEP_MOMENTS").unwrap_or(60);
    let seed = number_from("LARIAT_SWEEP_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("crash sweep: {moments} random moments, seed {seed}");

    let project = tempfile::tempdir().unwrap();
    let runs = project.path().join("runs");
    fs_err::create_dir_all(&runs).unwrap();
    fs_err::create_dir_all(project.path().join("rules")).unwrap();
    fs_err::write(project.path().join("rules/sweep.yml"), rules(&runs)).unwrap();
    fs_err::write(project.path().join("work.sh"), WORK).unwrap();

    let mut sweep = Sweep {
        project: project.path().to_owned(),
        load: Load::new(seed),
        orphans: 0,
    };
    sweep.set_lease(LONG_LEASE);
    sweep.every_fault_point().await;
    sweep.random_moments(moments).await;
    sweep.set_lease(SHORT_LEASE);
    sweep.stopped_past_the_lease(3).await;
    let account = sweep.settle(&runs).await;
    println!("{account}");
    assert_eq!(0, sweep.orphans, "processes outlived their worker");
    account.assert_clean();
}

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Sweep {
    project: std::path::PathBuf,
    load: Load,
    orphans: usize,
}

impl Sweep {
    fn set_lease(&self, lease: &str) {
        fs_err::write(self.project.join("lariat.yml"), config(lease)).unwrap();
    }

    async fn every_fault_point(&mut self) {
        // Those of sources and sinks are passed where there is a broker.
        for point in FaultPoint::ALL {
            if point.needs_broker() {
                continue;
            }
            let nth = match point {
                // Something is always left running, for recovery to find.
                FaultPoint::BeforeAcceptCommit => 5,
                // The first time is when the process starts.
                FaultPoint::DuringReload => 2,
                _ => 1,
            };
            let fault = format!("{}:{nth}", point.as_str());
            match Server::start(&self.project, &["--fault", &fault]).await {
                Err(said) => assert!(
                    said.contains("signal: 9"),
                    "with fault `{fault}` it did not start: {said}"
                ),
                Ok(mut server) => {
                    self.provoke(point, &server).await;
                    let died = self.load.until_it_dies(&mut server, PATIENCE).await;
                    assert!(died, "fault point `{}` was never reached", point.as_str());
                }
            }
            self.count_orphans().await;
        }
    }

    /// Some points are passed only when asked for.
    async fn provoke(&mut self, point: FaultPoint, server: &Server) {
        match point {
            FaultPoint::DuringReload => server.signal(Signal::SIGHUP),
            FaultPoint::DuringDrain => {
                self.load.publish(server, "slow").await;
                server.signal(Signal::SIGTERM);
            }
            FaultPoint::DuringRenewal | FaultPoint::AfterStepStarted => {
                self.load.publish(server, "slow").await;
            }
            FaultPoint::BeforeAcceptCommit
            | FaultPoint::AfterAcceptCommitBeforeReply
            | FaultPoint::BeforeClaimCommit
            | FaultPoint::AfterClaimBeforeStart
            | FaultPoint::AfterOutputAppended
            | FaultPoint::AfterStepBeforeRecord
            | FaultPoint::BetweenSteps
            | FaultPoint::BeforeFinishCommit
            | FaultPoint::AfterFinish
            | FaultPoint::DuringRecovery
            | FaultPoint::DuringRetention
            | FaultPoint::AfterAcceptBeforeAck
            | FaultPoint::AfterParkBeforeAck
            | FaultPoint::AfterPublishBeforeRecord => {}
        }
    }

    async fn random_moments(&mut self, moments: u64) {
        for number in 0..moments {
            let mut server = Server::start(&self.project, &[])
                .await
                .unwrap_or_else(|said| panic!("a server without faults starts: {said}"));
            let moment = Duration::from_millis(self.load.dice(400));
            self.load.run_for(&mut server, moment).await;
            if number % EVERY == 0 {
                self.begin_long(&server).await;
            }
            server.kill().await;
            self.count_orphans().await;
        }
    }

    /// A stopped worker cannot renew: its guard ends the job in time, and the
    /// lease is lost before anybody runs the job again.
    async fn stopped_past_the_lease(&mut self, times: usize) {
        let mut server = Server::start(&self.project, &[])
            .await
            .unwrap_or_else(|said| panic!("a server without faults starts: {said}"));
        server.all_jobs_ended(SETTLING).await;
        for _ in 0..times {
            let job = self.begin_long(&server).await;
            let marker = format!("LARIAT_JOB={job}");
            server.signal(Signal::SIGSTOP);
            // Its guard ends it, though nobody tells the guard to.
            wait_gone(&marker, PATIENCE).await;
            server.signal(Signal::SIGCONT);
            server.wait_for_job(&job, "succeeded", PATIENCE).await;
        }
        server.kill().await;
        self.count_orphans().await;
    }

    /// A job that would run for a minute, once it runs.
    async fn begin_long(&mut self, server: &Server) -> String {
        let event = self.load.publish(server, "long").await;
        let job = server.only_job(&event).await;
        let marker = format!("LARIAT_JOB={job}");
        wait_until("the long job runs", PATIENCE, async || {
            !processes_with(&marker).is_empty()
        })
        .await;
        job
    }

    /// Nothing of a dead worker may be running after a moment.
    async fn count_orphans(&mut self) {
        let marker = format!("RUNS={}/runs", self.project.display());
        let start = std::time::Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let mut left = processes_with(&marker);
        while !left.is_empty() && start.elapsed() < DYING {
            tick.tick().await;
            left = processes_with(&marker);
        }
        self.orphans += left.len();
    }

    /// Lets everything end, and counts.
    async fn settle(&mut self, runs: &Path) -> Account {
        let mut server = Server::start(&self.project, &[])
            .await
            .unwrap_or_else(|said| panic!("a server without faults starts: {said}"));
        self.load.resend(&server).await;
        let jobs = server.all_jobs_ended(SETTLING).await;
        let log = fs_err::read_to_string(runs.join("log")).unwrap_or_default();
        let mut by_event: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
        for job in &jobs {
            let event = job["event_id"].as_str().unwrap_or_default().to_owned();
            by_event.entry(event).or_default().push(job.clone());
        }
        let account = Account::new(self.load.accepted(), &by_event, &jobs, &log, self.orphans);
        server.signal(Signal::SIGTERM);
        assert!(server.wait(PATIENCE).await, "the server did not drain");
        account
    }
}
