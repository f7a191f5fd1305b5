//! `/info`: this dialog: model, context, tokens, cost, queue.

use super::{Apply, Reply, SlashCommand, named};
use crate::bus::Caller;
use crate::session::actor::Actor;
use crate::session::times::when;
use crate::session::wording::{count, short_number};
use crate::storage::{Context, DialogRow, DialogUsage, StorageError};

pub(super) struct Info;

impl SlashCommand for Info {
    fn name(&self) -> &'static str {
        "info"
    }

    fn usage(&self) -> &'static str {
        "/info"
    }

    fn description(&self) -> &'static str {
        "Show this dialog: model, context, tokens, cost"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        _argument: &str,
    ) -> Result<Reply, StorageError> {
        let usage = apply.tx.dialog_usage(dialog.key)?;
        let actor = &*apply.actor;
        let agent = &actor.deps.agent;
        let mut lines = vec![
            format!(
                "Dialog {} in {}:{}",
                named(dialog),
                dialog.session.channel,
                dialog.session.chat
            ),
            format!("Id: {}", dialog.session),
            format!("Model: {}", model(&usage, actor)),
        ];
        let sent = apply.tx.context(dialog.key)?;
        let n_summarised = apply.tx.n_summarised(dialog.key, &sent)?;
        let filled = context(&sent, dialog, agent.context.tokens);
        lines.extend(filled.map(|text| format!("Context: {text}")));
        if n_summarised > 0 {
            lines.push(format!(
                "Compressed: {} into a summary",
                count(n_summarised, "stored message")
            ));
        }
        lines.push(format!(
            "Messages: {}, since {}",
            dialog.n_messages,
            when(dialog.created_at, apply.now)
        ));
        if usage.n_calls > 0 {
            lines.push(format!("Tokens: {}", tokens(&usage)));
        }
        if !usage.costs.is_empty() {
            let costs: Vec<String> = usage
                .costs
                .iter()
                .map(|(cost, currency)| format!("{cost:.4} {currency}"))
                .collect();
            lines.push(format!("Cost: {}", costs.join(" + ")));
        }
        lines.push(format!("Now: {}", actor.doing(dialog.key)));
        lines.push(format!("Messages during a turn: {}", dialog.mode.as_str()));
        Ok(Reply::Now(dialog.session.clone(), lines.join("\n")))
    }
}

/// Names who answers: whoever answered last here, else the first choice.
fn model(usage: &DialogUsage, actor: &Actor) -> String {
    match &usage.last {
        Some(last) => format!("{} ({})", last.model, last.provider),
        None => {
            let first = actor.deps.agent.models.first();
            format!("{} ({})", first.model.model_id, first.provider.name())
        }
    }
}

/// Tells how much of the context the dialog fills, by the counts of the last model call since it was compressed.
fn context(sent: &Context, dialog: &DialogRow, limit: u32) -> Option<String> {
    if dialog.n_messages == 0 {
        return Some("empty".to_owned());
    }
    let used = sent.tokens?;
    let limit = u64::from(limit.max(1));
    Some(format!(
        "{} % ({} of {} tokens)",
        used * 100 / limit,
        short_number(used),
        short_number(limit)
    ))
}

fn tokens(usage: &DialogUsage) -> String {
    let known = |n: Option<u64>| n.map_or("?".to_owned(), short_number);
    let mut text = format!(
        "{} in, {} out",
        known(usage.usage.input),
        known(usage.usage.output)
    );
    if let Some(cached) = usage.usage.cached.filter(|n| *n > 0) {
        text.push_str(&format!(
            ", {} of them from the cache",
            short_number(cached)
        ));
    }
    format!("{text}, in {}", count(usage.n_calls, "model call"))
}
