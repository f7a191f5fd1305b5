//! What clients are shown of a dialog besides its texts: tool calls, how full the context is, what a turn cost. Reads only;
//! runs on `query`, and on a turn's thread for the turn's own end.

use std::collections::HashMap;

use crate::bus::{HistoryCall, Meter};
use crate::chat::ToolResult;
use crate::storage::{DialogKey, StorageError, StoredMessage, TurnId, Tx};

/// Results shown are cut to this many characters, as in `tool_finished`.
const SHOWN_RESULT_CHARS: usize = 4_000;

/// Returns how full the context is after a turn and what it cost.
pub(super) fn meter_of_turn(tx: &Tx<'_>, turn: TurnId, limit: u64) -> Result<Meter, StorageError> {
    Ok(Meter {
        context: tx.context_of_turn(turn)?,
        limit: Some(limit),
        cost: tx.cost_of_turn(turn)?,
    })
}

/// Returns how full the context of a dialog is.
pub(super) fn meter_of_dialog(
    tx: &Tx<'_>,
    dialog: DialogKey,
    limit: u64,
) -> Result<Meter, StorageError> {
    Ok(Meter {
        context: tx.context_of_dialog(dialog)?,
        limit: Some(limit),
        cost: None,
    })
}

/// Returns the calls of a message with their results.
pub(super) fn calls(
    tx: &Tx<'_>,
    row: &StoredMessage,
    results: &HashMap<String, ToolResult>,
    turn_runs: bool,
) -> Result<Vec<HistoryCall>, StorageError> {
    let mut out = Vec::new();
    for call in row.message.tool_calls() {
        let record = tx.call_record(row.turn, &call.id)?;
        let result = results.get(&call.id);
        let state = match (&record, result) {
            (Some((state, _)), _) if state != "started" => state.clone(),
            (_, Some(result)) if result.is_error => "failed".to_owned(),
            (_, Some(_)) => "done".to_owned(),
            (_, None) if turn_runs => "running".to_owned(),
            (_, None) => "interrupted".to_owned(),
        };
        let content = result
            .map(|result| result.content.as_str())
            .unwrap_or_default();
        out.push(HistoryCall {
            call_id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            content: content.chars().take(SHOWN_RESULT_CHARS).collect(),
            state,
            took: record.and_then(|(_, took)| took),
        });
    }
    Ok(out)
}
