//! Tools in the style of well-known MCP servers; the results are snapshots to be read by people.

use std::fmt::Write;

use serde_json::Value;

use super::clean;

#[track_caller]
fn cleaned(tools: &str) -> String {
    let tools: Vec<Value> = serde_json::from_str(tools).unwrap();
    let mut out = String::new();
    for tool in &tools {
        let cleaned = clean(&tool["inputSchema"]);
        writeln!(
            out,
            "{} {:#}",
            tool["name"].as_str().unwrap(),
            cleaned.schema
        )
        .unwrap();
        for loss in &cleaned.losses {
            writeln!(out, "  lost: {loss}").unwrap();
        }
        for (pointer, original) in &cleaned.renamed {
            writeln!(out, "  renamed: {pointer} was {original}").unwrap();
        }
    }
    out
}

#[test]
fn filesystem() {
    let tools = include_str!("../../../../tests/fixtures/schemas/filesystem.json");
    insta::assert_snapshot!(cleaned(tools));
}

#[test]
fn github() {
    let tools = include_str!("../../../../tests/fixtures/schemas/github.json");
    insta::assert_snapshot!(cleaned(tools));
}

#[test]
fn playwright() {
    let tools = include_str!("../../../../tests/fixtures/schemas/playwright.json");
    insta::assert_snapshot!(cleaned(tools));
}

#[test]
fn notion() {
    let tools = include_str!("../../../../tests/fixtures/schemas/notion.json");
    insta::assert_snapshot!(cleaned(tools));
}
