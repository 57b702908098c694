//! What the process itself takes, under the names that all programs use.
//!
//! What the kernel does not tell is left out.

use model::clock::Timestamp;
use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeVal,
};
use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

type FloatCounter = Counter<f64, std::sync::atomic::AtomicU64>;
type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

pub(super) fn text(started: Timestamp) -> String {
    let mut registry = Registry::with_prefix("process");
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let cpu = FloatCounter::default();
        cpu.inc_by(seconds(usage.user_time()) + seconds(usage.system_time()));
        let help = "Time on processors, that of child processes left out";
        registry.register_with_unit("cpu", help, Unit::Seconds, cpu);
    }
    if let Some(bytes) = resident() {
        let help = "Memory that is resident";
        registry.register_with_unit("resident_memory", help, Unit::Bytes, gauge(bytes));
    }
    if let Ok(descriptors) = fs_err::read_dir("/proc/self/fd") {
        let open = u64::try_from(descriptors.count()).unwrap_or(u64::MAX);
        registry.register("open_fds", "File descriptors that are open", gauge(open));
    }
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        registry.register("max_fds", "File descriptors that may be open", gauge(most));
    }
    let start = FloatGauge::default();
    start.set(started.as_millis() as f64 / 1_000.0);
    let help = "When it started, since the Unix epoch";
    registry.register_with_unit("start_time", help, Unit::Seconds, start);
    let mut text = String::new();
    encode_registry(&mut text, &registry).expect("writing to a string cannot fail");
    text
}

fn gauge(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

fn seconds(time: TimeVal) -> f64 {
    let whole = u64::try_from(time.tv_sec()).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    std::time::Duration::from_micros(whole * 1_000_000 + micros).as_secs_f64()
}

/// Bytes, from the kibibytes of `VmRSS`.
fn resident() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
