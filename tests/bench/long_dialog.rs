//! A long dialog as the gateway sends it, for measurements of the terminal client.

use std::fmt::Write as _;

/// The dialog's id.
pub(crate) const SESSION: &str = "cli_chat:local:d1";

/// The first message of a connection.
pub(crate) fn established() -> String {
    format!(r#"{{"type":"session_established","session_id":"{SESSION}","title":"bench"}}"#)
}

/// A loaded dialog: questions, answers with lists, tables and code, and tool calls.
pub(crate) fn dialog(n: usize) -> String {
    let mut messages = String::new();
    for id in 0..n {
        if id > 0 {
            messages.push(',');
        }
        let body = if id % 2 == 0 {
            format!(
                r#""role":"user","content":"第 {id} 个问题:把下载目录里的 PDF 按年份整理一下,先列计划""#
            )
        } else {
            format!(
                r###""role":"assistant","content":"## 计划 {id}\n\n1. 新建 `2023/` 目录\n2. 按 **年份** 移动, then check the sizes of all files\n\n| 年份 | files |\n|:--|--:|\n| 2023 | {id} |\n\n```sh\nmkdir -p 2023 # 目录\n```\n","tool_calls":[{{"call_id":"c{id}","name":"bash","arguments":"{{\"command\":\"ls -l\"}}","content":"a.pdf\nb.pdf","state":"done","took_ms":18}}]"###
            )
        };
        write!(
            messages,
            r#"{{{body},"created_at":"2026-03-01T14:02:00.000Z","state":"done","id":{id}}}"#
        )
        .unwrap();
    }
    format!(
        r#"{{"type":"session_loaded","session_id":"{SESSION}","messages":[{messages}],"has_more":false,"model":"m","token_limit":128000}}"#
    )
}
