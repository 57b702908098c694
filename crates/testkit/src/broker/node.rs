//! The processes of one server: the node, its helpers, and a guardian that
//! ends them all.
//!
//! The guardian is a shell that waits for the end of its standard input, the
//! other end of which only the test's process holds. However that process
//! ends, the guardian notices, kills the session that the node runs in, and
//! removes the directory. Erlang's port mapper would stay for ever; so each
//! node gets one of its own, in the same session and in the foreground.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use super::{BrokerOptions, Certificates, PROGRAMS, Ports};

/// `$1` is the directory, `$2` the server. The word `keep` spares the
/// directory. What dies may still be writing: so it is removed until it is
/// gone.
const GUARDIAN: &str = r#"
setsid sh -c '
  epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" &
  "$2"
  : > "$1/ended"
' node "$1" "$2" </dev/null >>"$1/output" 2>&1 &
node=$!
read -r word
kill -s KILL -- "-$node" "$node"
wait $node
[ "$word" = keep ] || while [ -e "$1" ]; do rm -rf "$1"; done
"#;

/// A node that runs, or has ended by itself.
#[derive(Debug)]
pub(super) struct Node {
    guardian: Child,
    /// What the guardian listens to.
    line: Option<ChildStdin>,
}

impl Node {
    pub(super) fn start(dir: &Path, name: &str, ports: &Ports) -> Self {
        if has_ended(dir) {
            fs_err::remove_file(dir.join("ended")).unwrap();
        }
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(dir)
            .arg(Path::new(PROGRAMS).join("rabbitmq-server"))
            .envs(environment(dir, name, ports))
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must not end the guardian first.
            .process_group(0)
            .spawn()
            .expect("there is a shell");
        let line = guardian.stdin.take();
        Self { guardian, line }
    }

    /// Kills it and keeps its directory.
    pub(super) fn kill(&mut self) {
        let mut line = self.line.take().expect("it is killed once");
        line.write_all(b"keep\n").unwrap();
    }

    /// Whether its guardian has done its work.
    pub(super) fn is_killed(&mut self) -> bool {
        self.guardian.try_wait().unwrap().is_some()
    }

    /// Kills it and removes its directory.
    pub(super) fn end(mut self) {
        drop(self.line.take());
        self.guardian.wait().unwrap();
    }
}

/// Removes the directory of a server whose node is gone.
pub(super) fn remove(dir: &Path) {
    if dir.exists() {
        fs_err::remove_dir_all(dir).unwrap();
    }
}

pub(super) fn has_ended(dir: &Path) -> bool {
    dir.join("ended").exists()
}

/// What the node has printed, and its log.
pub(super) fn output(dir: &Path) -> String {
    ["output", "log/server.log"]
        .iter()
        .map(|file| fs_err::read_to_string(dir.join(file)).unwrap_or_default())
        .collect()
}

/// What makes the installed programs mean this server and no other.
pub(super) fn environment(
    dir: &Path,
    name: &str,
    ports: &Ports,
) -> Vec<(&'static str, std::ffi::OsString)> {
    let path = |file: &str| dir.join(file).into_os_string();
    vec![
        // The secret that nodes and tools share lies there.
        ("HOME", dir.as_os_str().to_owned()),
        ("ERL_EPMD_PORT", ports.epmd.to_string().into()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        (
            "ERL_FLAGS",
            "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}".into(),
        ),
        ("RABBITMQ_NODENAME", name.into()),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string().into()),
        ("RABBITMQ_CONF_ENV_FILE", path("none")),
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
        ("RABBITMQ_MNESIA_BASE", path("mnesia")),
        ("RABBITMQ_LOG_BASE", path("log")),
        ("RABBITMQ_LOGS", path("log/server.log")),
        ("RABBITMQ_PID_FILE", path("pid")),
        // Schedulers that do not spin leave the machine to the tests.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none".into(),
        ),
        ("ERL_CRASH_DUMP_SECONDS", "0".into()),
    ]
}

pub(super) fn write_config(
    dir: &Path,
    ports: &Ports,
    options: &BrokerOptions,
    certificates: Option<&Certificates>,
) {
    let Ports {
        amqp,
        amqps,
        management,
        distribution: _,
        epmd: _,
    } = ports;
    let mut config = format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         collect_statistics_interval = 250\n\
         vm_memory_high_watermark.absolute = 1GB\n\
         disk_free_limit.absolute = 50MB\n"
    );
    if let Some(timeout) = options.consumer_timeout {
        config.push_str(&line("consumer_timeout", &timeout.as_millis().to_string()));
    }
    if let Some(certificates) = certificates {
        let path = |path: &PathBuf| path.to_str().expect("the name is ASCII").to_owned();
        for (key, value) in [
            ("listeners.ssl.1", format!("127.0.0.1:{amqps}")),
            ("ssl_options.cacertfile", path(&certificates.ca)),
            ("ssl_options.certfile", path(&certificates.server)),
            ("ssl_options.keyfile", path(&certificates.server_key)),
            ("ssl_options.verify", "verify_peer".to_owned()),
            ("ssl_options.fail_if_no_peer_cert", "false".to_owned()),
            ("ssl_cert_login_from", "common_name".to_owned()),
            ("auth_mechanisms.1", "PLAIN".to_owned()),
            ("auth_mechanisms.2", "EXTERNAL".to_owned()),
        ] {
            config.push_str(&line(key, &value));
        }
    }
    config.push_str(&options.config);
    // How often timeouts are looked at and counts are reported.
    let advanced = "[{rabbit, [{channel_tick_interval, 1000}, {quorum_tick_interval, 500}]}].\n";
    let plugins = "[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n";
    for (file, text) in [
        ("rabbitmq.conf", config.as_str()),
        ("advanced.config", advanced),
        ("enabled_plugins", plugins),
    ] {
        fs_err::write(dir.join(file), text).unwrap();
    }
}

fn line(key: &str, value: &str) -> String {
    format!("{key} = {value}\n")
}
