//! The `tool_calls` and `model_calls` tables: the journal of side effects, and the ledger of model calls.

use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension, params};

use super::db::Tx;
use super::dialogs::DialogKey;
use super::error::StorageError;
use super::to_millis;
use super::turns::TurnId;
use crate::chat::{CallPrint, CallRecord, ModelCall, Usage};

/// What a dialog's model calls came to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DialogUsage {
    /// How many there were.
    pub n_calls: u64,
    /// Their tokens, as far as known.
    pub usage: Usage,
    /// Their cost by currency, as far as known.
    pub costs: Vec<(f64, String)>,
    /// The newest answered one of a turn.
    pub last: Option<LastCall>,
}

/// The newest answered model call of a dialog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastCall {
    /// The provider's configured name.
    pub provider: String,
    /// The model id.
    pub model: String,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn count(tokens: Option<u64>) -> Option<i64> {
    tokens.map(|n| i64::try_from(n).unwrap_or(i64::MAX))
}

impl Tx<'_> {
    /// Notes that a call with side effects begins now; commit before running it.
    pub fn start_call(
        &self,
        turn: TurnId,
        call_id: &str,
        name: &str,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO tool_calls (turn, call_id, name, state, started_at)
                 VALUES (?1, ?2, ?3, 'started', ?4)",
            )?
            .execute(params![turn.0, call_id, name, to_millis(now)])?;
        Ok(())
    }

    /// Tells whether a call of a turn was begun and has no result.
    pub fn call_started(&self, turn: TurnId, call_id: &str) -> Result<bool, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM tool_calls
                 WHERE turn = ?1 AND call_id = ?2 AND state = 'started')",
            )?
            .query_row(params![turn.0, call_id], |row| row.get(0))?)
    }

    /// Notes how a call ended, begun or not.
    pub fn end_call(&self, turn: TurnId, record: &CallRecord) -> Result<(), StorageError> {
        let took = millis(record.took);
        let bytes = i64::try_from(record.result_bytes).unwrap_or(i64::MAX);
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE tool_calls SET state = ?3, took_ms = ?4, result_bytes = ?5,
                        call_hash = ?6, result_hash = ?7
                 WHERE turn = ?1 AND call_id = ?2 AND state = 'started'",
            )?
            .execute(params![
                turn.0,
                record.call_id,
                record.state.as_str(),
                took,
                bytes,
                record.print.call,
                record.print.result
            ])?;
        if changed == 0 {
            self.sql
                .prepare_cached(
                    "INSERT INTO tool_calls
                     (turn, call_id, name, state, started_at, took_ms, result_bytes,
                      call_hash, result_hash)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    turn.0,
                    record.call_id,
                    record.name,
                    record.state.as_str(),
                    to_millis(record.started_at),
                    took,
                    bytes,
                    record.print.call,
                    record.print.result
                ])?;
        }
        Ok(())
    }

    /// Lists what the ended calls of a turn asked and got, in order; at most the newest 100.
    pub fn call_prints(&self, turn: TurnId) -> Result<Vec<CallPrint>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT call_hash, result_hash FROM tool_calls
             WHERE turn = ?1 AND call_hash IS NOT NULL ORDER BY id DESC LIMIT 100",
        )?;
        let rows = statement.query_map([turn.0], |row| {
            Ok(CallPrint {
                call: row.get(0)?,
                result: row.get(1)?,
            })
        })?;
        let mut prints = rows.collect::<Result<Vec<_>, _>>()?;
        prints.reverse();
        Ok(prints)
    }

    /// Counts the tokens of a turn's model calls, in and out, as far as known.
    pub fn turn_tokens(&self, turn: TurnId) -> Result<u64, StorageError> {
        let tokens: i64 = self
            .sql
            .prepare_cached(
                "SELECT coalesce(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)), 0)
                 FROM model_calls WHERE turn = ?1",
            )?
            .query_row([turn.0], |row| row.get(0))?;
        Ok(u64::try_from(tokens).unwrap_or(0))
    }

    /// Notes that the calls a dead process left begun will get no result of their own.
    pub fn interrupt_calls(&self, turn: TurnId) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE tool_calls SET state = 'interrupted' WHERE turn = ?1 AND state = 'started'",
            )?
            .execute([turn.0])?;
        Ok(())
    }

    /// Enters a model call into the ledger, under the turn it was made for.
    pub fn record_model_call(&self, turn: TurnId, record: &ModelCall) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO model_calls
                 (turn, provider, model, purpose, outcome, input_tokens, output_tokens,
                  cached_tokens, reasoning_tokens, latency_ms, first_token_ms, attempts, at,
                  cost, currency)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                turn.0,
                record.provider,
                record.model,
                record.purpose,
                record.outcome,
                count(record.usage.input),
                count(record.usage.output),
                count(record.usage.cached),
                count(record.usage.reasoning),
                millis(record.latency),
                record.first_token.map(millis),
                record.attempts,
                to_millis(record.at),
                record.cost.as_ref().map(|(cost, _)| cost),
                record.cost.as_ref().map(|(_, currency)| currency)
            ])?;
        Ok(())
    }

    /// Returns what calls since a time cost in a currency, as far as known.
    pub fn spent_since(&self, since: SystemTime, currency: &str) -> Result<f64, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT coalesce(sum(cost), 0.0) FROM model_calls
                 WHERE cost IS NOT NULL AND at >= ?1 AND currency = ?2",
            )?
            .query_row(params![to_millis(since), currency], |row| row.get(0))?)
    }

    /// Returns how a call of a turn ended and how long it took, if that is known.
    pub fn call_record(
        &self,
        turn: TurnId,
        call_id: &str,
    ) -> Result<Option<(String, Option<Duration>)>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT state, took_ms FROM tool_calls WHERE turn = ?1 AND call_id = ?2",
        )?;
        let row = statement
            .query_row(params![turn.0, call_id], |row| {
                let took: Option<i64> = row.get(1)?;
                let took = took.and_then(|ms| u64::try_from(ms).ok());
                Ok((row.get(0)?, took.map(Duration::from_millis)))
            })
            .optional()?;
        Ok(row)
    }

    /// Returns the tokens of a turn's last answered model call, in and out; `None` if they are not known.
    pub fn context_of_turn(&self, turn: TurnId) -> Result<Option<u64>, StorageError> {
        let found: Option<Option<i64>> = self
            .sql
            .prepare_cached(
                "SELECT input_tokens + output_tokens FROM model_calls
                 WHERE turn = ?1 AND purpose = 'turn' AND outcome = 'ok' ORDER BY id DESC LIMIT 1",
            )?
            .query_row([turn.0], |row| row.get(0))
            .optional()?;
        Ok(found
            .flatten()
            .and_then(|tokens| u64::try_from(tokens).ok()))
    }

    /// The same for the newest turn of a dialog that asked a model.
    pub fn context_of_dialog(&self, dialog: DialogKey) -> Result<Option<u64>, StorageError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT id FROM turns WHERE dialog = ?1 ORDER BY id DESC LIMIT 8")?;
        let turns = statement.query_map([dialog.0], |row| Ok(TurnId(row.get(0)?)))?;
        for turn in turns {
            let context = self.context_of_turn(turn?)?;
            if context.is_some() {
                return Ok(context);
            }
        }
        Ok(None)
    }

    /// Returns what the model calls of a turn cost, and the currency; `None` if a price is not known or there are several
    /// currencies.
    pub fn cost_of_turn(&self, turn: TurnId) -> Result<Option<(f64, String)>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT sum(cost), min(currency), count(DISTINCT currency), sum(cost IS NULL AND outcome = 'ok')
             FROM model_calls WHERE turn = ?1",
        )?;
        let row: (Option<f64>, Option<String>, i64, Option<i64>) = statement
            .query_row([turn.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        Ok(match row {
            (Some(cost), Some(currency), 1, Some(0)) => Some((cost, currency)),
            _ => None,
        })
    }

    /// Returns what the model calls of a dialog came to.
    pub fn dialog_usage(&self, dialog: DialogKey) -> Result<DialogUsage, StorageError> {
        let tokens = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        let mut usage = self
            .sql
            .prepare_cached(
                "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
                        sum(reasoning_tokens)
                 FROM model_calls WHERE turn IN (SELECT id FROM turns WHERE dialog = ?1)",
            )?
            .query_row([dialog.0], |row| {
                Ok(DialogUsage {
                    n_calls: tokens(row.get(0)?).unwrap_or(0),
                    usage: Usage {
                        input: tokens(row.get(1)?),
                        output: tokens(row.get(2)?),
                        cached: tokens(row.get(3)?),
                        reasoning: tokens(row.get(4)?),
                    },
                    ..DialogUsage::default()
                })
            })?;
        usage.costs = self
            .sql
            .prepare_cached(
                "SELECT sum(cost), currency FROM model_calls
                 WHERE turn IN (SELECT id FROM turns WHERE dialog = ?1) AND cost IS NOT NULL
                 GROUP BY currency ORDER BY currency",
            )?
            .query_map([dialog.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        usage.last = self
            .sql
            .prepare_cached(
                "SELECT provider, model FROM model_calls
                 WHERE turn IN (SELECT id FROM turns WHERE dialog = ?1)
                   AND outcome = 'ok' AND purpose = 'turn'
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row([dialog.0], |row| {
                Ok(LastCall {
                    provider: row.get(0)?,
                    model: row.get(1)?,
                })
            })
            .optional()?;
        Ok(usage)
    }
}
