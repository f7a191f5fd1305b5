//! What works for commands: exit codes, output, environment, and the programs people expect.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use picobot::chat::SessionId;
use picobot::sandbox::{End, SandboxError};
use picobot::threads::CancelToken;
use picobot::tools::{
    Bash, BashSettings, Processes, Tool, ToolCtx, ToolError, Workspace, WorkspaceOptions,
};

use super::{CEILING, Ground, has};

#[test]
fn exit_codes_and_signals_are_told() {
    let ground = Ground::new();
    ground.check("true", End::Exited(0), "");
    ground.check("exit 3", End::Exited(3), "");
    ground.check("kill -9 $$", End::Signalled(9), "");
    ground.check("no-such-program-x 2>/dev/null", End::Exited(127), "");
}

#[test]
fn both_outputs_arrive_in_order_and_input_is_empty() {
    let ground = Ground::new();
    ground.check("echo a; echo b >&2; echo c", End::Exited(0), "a\nb\nc\n");
    ground.check("cat; read -r x || echo none", End::Exited(0), "none\n");
}

#[test]
fn output_is_made_plain() {
    let ground = Ground::new();
    ground.check("echo 你好，世界", End::Exited(0), "你好，世界\n");
    ground.check(r"printf 'a\xffb\n'", End::Exited(0), "a\u{fffd}b\n");
    ground.check(
        r"printf '\e[1;31mred\e[0m\e]0;title\a\0!\n'",
        End::Exited(0),
        "red!\n",
    );
}

#[test]
fn output_without_end_is_drained_and_both_ends_are_kept() {
    let ground = Ground::new();
    let outcome = ground.run("echo first; yes | head -c 199999990; echo las");
    assert_eq!(outcome.end, End::Exited(0));
    assert_eq!(outcome.output_bytes, 200_000_000);
    let text = outcome.output;
    assert!(text.starts_with("first\ny\n"));
    assert!(text.ends_with("y\nlas\n"));
    assert!(
        text.contains("\n[… 199,934,464 bytes left out]\n"),
        "{:?}",
        &text[16_000..17_000]
    );
    assert!(text.len() < 66_000);
}

#[test]
fn the_environment_is_empty_but_for_the_basics() {
    let ground = Ground::new();
    let mut call = ground.call("", CEILING);
    call.argv = vec!["/usr/bin/env".into()];
    call.env = vec![("EXTRA".into(), "1".into()), ("LANG".into(), "C".into())];
    let outcome = ground
        .sandbox
        .run(&call, &CancelToken::new(), &mut |_| {})
        .unwrap();
    let mut names: Vec<&str> = outcome
        .output
        .lines()
        .filter_map(|line| line.split('=').next())
        .filter(|name| *name != "TZ")
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["EXTRA", "HOME", "LANG", "PATH", "TERM", "TMPDIR"]);
    assert!(outcome.output.contains("LANG=C\n"));
    assert!(outcome.output.contains("TERM=dumb\n"));
}

#[test]
fn the_private_folders_work_last_and_go_with_the_sandbox() {
    let ground = Ground::new();
    let temp = ground.sandbox.policy().temp_dir.clone();
    ground.check(
        "echo a >~/kept; echo b >$TMPDIR/kept; stat -c %a ~ $TMPDIR",
        End::Exited(0),
        "700\n700\n",
    );
    ground.check("cat ~/kept $TMPDIR/kept", End::Exited(0), "a\nb\n");
    // A system may clean its temporary folder at any time.
    for entry in std::fs::read_dir(&temp).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    ground.check("touch ~/new && ls ~", End::Exited(0), "new\n");
    drop(ground.sandbox);
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
}

#[test]
fn limits_and_mask_hold() {
    let ground = Ground::new();
    ground.check(
        "ulimit -t -c -n -f -d | awk '{print $NF}' | xargs; umask",
        End::Exited(0),
        "300 0 1024 1048576 4194304\n0022\n",
    );
    ground.check("touch made; stat -c %a made", End::Exited(0), "644\n");
}

#[test]
fn shell_features_work() {
    let ground = Ground::new();
    let script = "
        set -e
        printf '3\\n1\\n2\\n' | sort | head -1
        (cd /; pwd); pwd | grep -q workspace
        (echo background) & wait
        cat <<END
heredoc $((6 * 7))
END
        echo \"$(echo nested $(echo twice))\"
        while read -r x; do echo \"got $x\"; done < <(echo substituted)
        echo filtered > >(sed s/f/F/)
        mkfifo pipe; (echo through >pipe) & cat pipe
        for i in 1 2 3; do echo $i; done | paste -sd+ | tee sum | cat
        timeout 5 sh -c 'echo timed'
        setsid -w echo session
        f() { local x=$1; echo ${x^^}; }; f function
        ";
    let expected = "1\n/\nbackground\nheredoc 42\nnested twice\ngot substituted\n";
    let outcome = ground.run(script);
    assert_eq!(outcome.end, End::Exited(0), "{}", outcome.output);
    assert!(outcome.output.starts_with(expected), "{}", outcome.output);
    for line in [
        "Filtered", "through", "1+2+3", "timed", "session", "FUNCTION",
    ] {
        assert!(
            outcome.output.lines().any(|l| l == line),
            "{line}: {}",
            outcome.output
        );
    }
}

#[test]
fn git_works() {
    if !has("/usr/bin/git") {
        return;
    }
    let ground = Ground::new();
    let outcome = ground.run(
        "set -e; git init -q .; git config user.name a; git config user.email a@example.org
         echo 1 >f; git add f; git commit -qm one; git checkout -qb side; echo 2 >>f; git commit -qam two
         git checkout -q -; git merge -q side; git log --oneline | wc -l; git gc -q; git status --short; git clone -q . ../workspace/copy
         cat copy/f",
    );
    assert_eq!(
        (outcome.end, outcome.output.as_str()),
        (End::Exited(0), "2\n1\n2\n")
    );
}

#[test]
fn python_works() {
    if !has("/usr/bin/python3") {
        return;
    }
    let ground = Ground::new();
    let script = "
import subprocess, threading, socket, tempfile, asyncio, os, signal, ssl, sqlite3
print(subprocess.run(['/bin/sh', '-c', 'echo child'], capture_output=True, text=True).stdout, end='')
thread = threading.Thread(target=lambda: print('thread', flush=True)); thread.start(); thread.join()
with tempfile.NamedTemporaryFile('w') as f: f.write('x')
a, b = socket.socketpair(); a.send(b'pair'); print(b.recv(9).decode())
async def main():
    p = await asyncio.create_subprocess_exec('echo', 'async', stdout=asyncio.subprocess.PIPE)
    print((await p.stdout.read()).decode(), end='')
    await p.wait()
asyncio.run(main())
pid = os.fork()
if pid == 0: os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
p = subprocess.Popen(['sleep', '100']); p.send_signal(signal.SIGTERM); print(p.wait())
";
    std::fs::write(ground.workspace.join("script.py"), script).unwrap();
    ground.check(
        "/usr/bin/python3 script.py",
        End::Exited(0),
        "child\nthread\npair\nasync\n7\n-15\n",
    );
}

#[test]
fn node_works() {
    if !has("/usr/bin/node") {
        return;
    }
    let ground = Ground::new();
    let script = "
const { execSync, spawn } = require('child_process');
const { Worker } = require('worker_threads');
console.log(execSync('echo child').toString().trim());
new Worker(\"console.log('worker')\", { eval: true }).on('exit', () =>
    spawn('/bin/echo', ['spawned'], { stdio: 'inherit' }).on('exit', () =>
        require('fs').promises.writeFile('out', 'x').then(() => console.log('written'))));
";
    std::fs::write(ground.workspace.join("script.js"), script).unwrap();
    ground.check(
        "/usr/bin/node script.js",
        End::Exited(0),
        "child\nworker\nspawned\nwritten\n",
    );
}

#[test]
fn what_cannot_be_started_says_why() {
    let ground = Ground::new();
    let missing = ground.workspace.join("missing");
    let mut call = ground.call("true", CEILING);
    call.cwd = &missing;
    let error = ground.error(&call).to_string();
    assert!(error.contains("missing: No such file"), "{error}");
    let mut call = ground.call("true", CEILING);
    call.argv = vec!["/no/such/program".into()];
    let error = ground.error(&call).to_string();
    assert!(error.contains("/no/such/program: No such file"), "{error}");
    let mut call = ground.call("true", CEILING);
    call.argv.clear();
    assert!(matches!(ground.error(&call), SandboxError::NotStarted(_)));
    // More than the kernel takes, and far more than a pipe holds.
    let call = ground.call(&"x".repeat(4_000_000), CEILING);
    assert!(matches!(ground.error(&call), SandboxError::NotStarted(_)));
}

#[test]
fn a_supervisor_that_is_none_is_reported() {
    for (helper, missing) in [("/bin/false", false), ("/no/such/helper", true)] {
        let ground = Ground::with(|policy| policy.helper = helper.into());
        let error = ground.error(&ground.call(&"x".repeat(1_000_000), CEILING));
        match missing {
            true => assert!(matches!(error, SandboxError::Supervisor(_)), "{error}"),
            false => assert!(matches!(error, SandboxError::SupervisorLost), "{error}"),
        }
    }
}

#[test]
fn calls_run_beside_each_other() {
    let ground = Arc::new(Ground::new());
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let ground = ground.clone();
            picobot::threads::spawn(format!("call-{n}"), 512 * 1024, move || {
                for round in 0..5 {
                    let call = ground.call(&format!("(sleep 100 &) ; echo {n} {round}"), CEILING);
                    let outcome = ground
                        .sandbox
                        .run(&call, &CancelToken::new(), &mut |_| {})
                        .unwrap();
                    assert_eq!(outcome.output, format!("{n} {round}\n"));
                    assert_eq!((outcome.end, outcome.survivors), (End::Exited(0), 0));
                }
            })
            .unwrap()
        })
        .collect();
    for thread in threads {
        thread.join_within(Duration::from_secs(60)).unwrap();
    }
}

#[test]
fn the_tool_gives_output_with_an_end_line_and_shows_it_live() {
    let ground = Ground::new();
    let workspace = Workspace::open(&ground.workspace, WorkspaceOptions::default()).unwrap();
    let sandbox = Arc::new(ground.sandbox);
    let tool = Bash::new(BashSettings {
        processes: Processes::new(sandbox.clone(), Arc::default()),
        sandbox,
        timeout: CEILING,
    });
    let session: SessionId = "cli_chat:local:1".parse().unwrap();
    let cancel = CancelToken::new();
    let live = Mutex::new(String::new());
    let ctx = ToolCtx {
        secrets: &picobot::observability::Redactor::default(),
        boundary: "b0",
        until: Instant::now() + CEILING,
        judge: &|_| Ok(()),
        images: None,
        workspace: &workspace,
        session: &session,
        cancel: &cancel,
        output: &|text| live.lock().unwrap().push_str(text),
    };
    let run = |arguments| tool.run(&arguments, &ctx);
    let result = run(serde_json::json!({"command": "printf 你好; exit 3"}));
    assert_eq!(result, Ok("你好\n[exit 3]".into()));
    assert_eq!(*live.lock().unwrap(), "你好");
    let result = run(serde_json::json!({"command": "sleep 100", "timeout_secs": 1}));
    assert_eq!(
        result,
        Err(ToolError::Failed("[killed: deadline 1 s]".into()))
    );
    assert!(matches!(
        run(serde_json::json!({})),
        Err(ToolError::Failed(_))
    ));
    cancel.cancel();
    let result = run(serde_json::json!({"command": "echo never"}));
    assert_eq!(result, Err(ToolError::Cancelled));
}
