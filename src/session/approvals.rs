//! Questions to people about tool calls: asking on the turn's thread, answering on the `session` thread.
//!
//! A question is stored before anybody sees it and its answer before the turn hears of it, so that both survive a
//! crash: a turn that is taken up again finds its question by turn and call. The turn waits here for the answer, the
//! end of the question's time, or its own cancelling. Deliberately not here: which calls need a yes (`agent::ApprovalPolicy`) and
//! who may answer (the channels).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Deps;
use super::actor::Actor;
use super::apply::Apply;
use super::outage::persist;
use super::wording;
use super::worker::TurnJob;
use crate::agent::{Permit, Question};
use crate::bus::{
    ApprovalAnswer, ApprovalOutcome, ApprovalRequest, Body, Caller, ClientId, ErrorCode, GrantItem,
    Outbound,
};
use crate::chat::{Route, SessionId};
use crate::observability::crash_point;
use crate::storage::{ApprovalRow, ApprovalState, GrantRow, StorageError, TurnId, Tx};
use crate::tools::Reach;

/// What wakes a turn that waits.
enum Wake {
    Answered(ApprovalAnswer),
    Cancelled,
}

/// A turn that waits.
struct Waiting {
    session: SessionId,
    request: Arc<ApprovalRequest>,
    wake: Sender<Wake>,
}

/// The turns that wait for an answer. Shared by the `session` thread and the turns.
pub struct Approvals {
    /// How long a question waits.
    time: Duration,
    waiting: Mutex<HashMap<String, Waiting>>,
    /// Who may be asked, and the chat each speaks in; written by the `session` thread.
    approvers: Mutex<Vec<(ClientId, Route)>>,
}

impl Approvals {
    /// Questions that nobody answers within `time` are answered with no.
    pub fn new(time: Duration) -> Self {
        Self {
            time,
            waiting: Mutex::default(),
            approvers: Mutex::default(),
        }
    }

    pub(super) fn set_approvers(&self, approvers: Vec<(ClientId, Route)>) {
        *self.approvers() = approvers;
    }

    fn approvers(&self) -> MutexGuard<'_, Vec<(ClientId, Route)>> {
        self.approvers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(
        &self,
        session: SessionId,
        request: Arc<ApprovalRequest>,
    ) -> (Sender<Wake>, Receiver<Wake>) {
        // One answer, and perhaps the turn's cancelling.
        let (wake, woken) = bounded(2);
        let id = request.id.clone();
        let waiting = Waiting {
            session,
            request,
            wake: wake.clone(),
        };
        self.lock().insert(id, waiting);
        (wake, woken)
    }

    fn answer(&self, id: &str, answer: ApprovalAnswer) {
        if let Some(waiting) = self.lock().get(id) {
            let _ = waiting.wake.try_send(Wake::Answered(answer));
        }
    }

    /// Lists what the turns of some dialogs wait for.
    fn open_in(&self, is_meant: impl Fn(&SessionId) -> bool) -> Vec<(SessionId, Body)> {
        self.lock()
            .values()
            .filter(|waiting| is_meant(&waiting.session))
            .map(|waiting| {
                let body = Body::ApprovalRequest(waiting.request.clone());
                (waiting.session.clone(), body)
            })
            .collect()
    }

    fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the database says about a call.
enum Standing {
    Settled(Permit),
    Open(ApprovalRow),
}

/// Asks about a call of a turn and waits.
pub(super) fn ask(
    deps: &Deps,
    job: &TurnJob,
    turn: TurnId,
    question: &Question<'_>,
) -> Result<Permit, StorageError> {
    let asked = Asked { deps, job };
    let standing = persist(deps, job, || {
        deps.db
            .write(|tx| standing(tx, deps.approvals.time, turn, question, asked.is_anybody()))
    })?;
    let row = match standing {
        Standing::Settled(permit) => return Ok(permit),
        Standing::Open(row) => row,
    };
    crash_point("approval-asked");
    let request = Arc::new(request_of(&row, question));
    // Known to be waiting before anybody is asked: who joins in between asks here.
    let (wake, woken) = deps
        .approvals
        .wait_for(job.session.clone(), request.clone());
    let _closer = job.control.cancel.on_cancel(move || {
        let _ = wake.try_send(Wake::Cancelled);
    });
    asked.tell(&Body::ApprovalRequest(request));
    let left = row
        .expires_at
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    let woken = woken.recv_deadline(Instant::now() + left);
    deps.approvals.forget(&row.id);
    let (permit, outcome) = match woken {
        Ok(Wake::Answered(answer)) => (permit_of(answer), outcome_of(answer)),
        // The turn ends here; its end closes the question.
        Ok(Wake::Cancelled) => (
            Permit::Refused(wording::STOPPED.to_owned()),
            ApprovalOutcome::Expired,
        ),
        Err(_) => persist(deps, job, || expire(deps, &row))?,
    };
    asked.tell(&Body::ApprovalResolved {
        id: row.id,
        outcome,
    });
    Ok(permit)
}

/// Those who can answer: the turn's own askers, and everybody else who speaks in its chat.
struct Asked<'a> {
    deps: &'a Deps,
    job: &'a TurnJob,
}

impl Asked<'_> {
    fn is_anybody(&self) -> bool {
        self.job.replies.any(|caller| caller.wants.approvals) || !self.others().is_empty()
    }

    fn others(&self) -> Vec<ClientId> {
        let route = self.job.session.route();
        let approvers: Vec<ClientId> = self
            .deps
            .approvals
            .approvers()
            .iter()
            .filter(|(_, chat)| *chat == route)
            .map(|(client, _)| *client)
            .collect();
        approvers
            .into_iter()
            .filter(|client| {
                !self
                    .job
                    .replies
                    .any(|caller| caller.client == *client && caller.wants.approvals)
            })
            .collect()
    }

    fn tell(&self, body: &Body) {
        let others = self.others();
        self.job
            .replies
            .tell(|caller| caller.wants.approvals, || body.clone());
        for client in others {
            self.deps.sink.push(Outbound {
                client,
                request_id: None,
                session: Some(self.job.session.clone()),
                body: body.clone(),
            });
        }
    }
}

/// Looks for an answer that is there already, else stores the question.
fn standing(
    tx: &Tx<'_>,
    time: Duration,
    turn: TurnId,
    question: &Question<'_>,
    somebody: bool,
) -> Result<Standing, StorageError> {
    let now = SystemTime::now();
    let (call, action) = (question.call, question.action);
    if let Some(subject) = &action.subject
        && tx.use_grant(&call.name, subject, now)?
    {
        return Ok(Standing::Settled(Permit::Given));
    }
    let known = tx
        .approval_of_call(turn, &call.id)?
        .filter(|row| row.arguments == call.arguments && row.tool == call.name);
    if let Some(row) = known {
        return Ok(match row.state {
            ApprovalState::Allowed => Standing::Settled(Permit::Given),
            ApprovalState::Pending => Standing::Open(row),
            ApprovalState::Denied => Standing::Settled(permit_of(ApprovalAnswer::Deny)),
            ApprovalState::Expired | ApprovalState::Used => {
                Standing::Settled(Permit::Refused(EXPIRED.to_owned()))
            }
        });
    }
    if !somebody {
        return Ok(Standing::Settled(Permit::Refused(
            crate::agent::NOBODY_TO_ASK.to_owned(),
        )));
    }
    let row = ApprovalRow {
        id: uuid::Uuid::now_v7().simple().to_string(),
        turn,
        call_id: call.id.clone(),
        tool: call.name.clone(),
        arguments: call.arguments.clone(),
        summary: action.summary.clone(),
        subject: action.subject.clone(),
        state: ApprovalState::Pending,
        expires_at: now + time,
    };
    tx.add_approval(&row, now)?;
    Ok(Standing::Open(row))
}

/// Ends a question's time; an answer that came at the last moment holds.
fn expire(deps: &Deps, row: &ApprovalRow) -> Result<(Permit, ApprovalOutcome), StorageError> {
    deps.db.write(|tx| {
        let expired = Permit::Refused(EXPIRED.to_owned());
        if tx.decide_approval(&row.id, ApprovalState::Expired, SystemTime::now())? {
            return Ok((expired, ApprovalOutcome::Expired));
        }
        Ok(match tx.approval(&row.id)?.map(|row| row.state) {
            Some(ApprovalState::Allowed) => (Permit::Given, ApprovalOutcome::Allowed),
            Some(ApprovalState::Denied) => {
                (permit_of(ApprovalAnswer::Deny), ApprovalOutcome::Denied)
            }
            _ => (expired, ApprovalOutcome::Expired),
        })
    })
}

fn request_of(row: &ApprovalRow, question: &Question<'_>) -> ApprovalRequest {
    ApprovalRequest {
        id: row.id.clone(),
        name: row.tool.clone(),
        arguments: row.arguments.clone(),
        summary: row.summary.clone(),
        reason: question.reason.to_owned(),
        in_workspace: question.action.reach == Reach::Workspace,
        can_always: row.subject.is_some(),
        expires_at: row.expires_at,
    }
}

fn permit_of(answer: ApprovalAnswer) -> Permit {
    match answer {
        ApprovalAnswer::Allow | ApprovalAnswer::Always => Permit::Given,
        ApprovalAnswer::Deny => Permit::Refused(DENIED.to_owned()),
    }
}

fn outcome_of(answer: ApprovalAnswer) -> ApprovalOutcome {
    match answer {
        ApprovalAnswer::Allow => ApprovalOutcome::Allowed,
        ApprovalAnswer::Always => ApprovalOutcome::Always,
        ApprovalAnswer::Deny => ApprovalOutcome::Denied,
    }
}

impl Actor {
    /// Asks somebody who has just come to a dialog what its turn waits for.
    pub(super) fn ask_again(&self, caller: &Caller, session: &SessionId) {
        if caller.wants.approvals {
            for (session, body) in self.deps.approvals.open_in(|waiting| waiting == session) {
                self.reply(caller, Some(session), body);
            }
        }
    }

    /// Takes a person's answer: stored first, then the turn goes on.
    pub(super) fn approve(&mut self, caller: &Caller, id: &str, answer: ApprovalAnswer) {
        let db = self.deps.db.clone();
        let stored = db.write(|tx| decide(tx, id, answer));
        crash_point("approval-stored");
        let (session, body) = match stored {
            Ok(Some(session)) => {
                let outcome = outcome_of(answer);
                let id = id.to_owned();
                (Some(session), Body::ApprovalResolved { id, outcome })
            }
            Ok(None) => {
                let code = ErrorCode::NotFound;
                let message = wording::NO_APPROVAL.to_owned();
                (None, Body::Error { code, message })
            }
            Err(error) => (None, self.storage_failed(&error)),
        };
        let is_stored = session.is_some();
        self.reply(caller, session, body);
        if is_stored {
            self.deps.approvals.answer(id, answer);
        }
    }
}

impl Apply<'_, '_> {
    /// Asks a client that may answer from now on whatever waits in its chat.
    pub(super) fn may_answer(&mut self, caller: &Caller) {
        if !caller.wants.approvals {
            return;
        }
        let route = self.actor.clients.route(caller.client);
        let open = self
            .actor
            .deps
            .approvals
            .open_in(|session| session.route() == route);
        for (session, body) in open {
            self.push(caller, Some(session), body);
        }
    }

    /// Shows the remembered answers, or forgets some of them and shows those.
    pub(super) fn grants(
        &mut self,
        caller: &Caller,
        revoke: Option<&[i64]>,
    ) -> Result<(), StorageError> {
        let rows = match revoke {
            None => self.tx.grants()?,
            Some(ids) => self.tx.revoke_grants(ids)?,
        };
        let grants = rows.into_iter().map(grant_item).collect();
        self.push(caller, None, Body::Grants { grants });
        Ok(())
    }
}

fn grant_item(row: GrantRow) -> GrantItem {
    GrantItem {
        id: row.id,
        tool: row.tool,
        summary: row.summary,
        created_at: row.created_at,
        n_used: row.n_used,
        used_at: row.used_at,
    }
}

/// Stores an answer; returns the dialog, or `None` if no such question is open.
fn decide(
    tx: &Tx<'_>,
    id: &str,
    answer: ApprovalAnswer,
) -> Result<Option<SessionId>, StorageError> {
    let now = SystemTime::now();
    let Some(row) = tx.approval(id)?.filter(|row| row.expires_at > now) else {
        return Ok(None);
    };
    let state = match answer {
        ApprovalAnswer::Allow | ApprovalAnswer::Always => ApprovalState::Allowed,
        ApprovalAnswer::Deny => ApprovalState::Denied,
    };
    if !tx.decide_approval(id, state, now)? {
        return Ok(None);
    }
    if let (ApprovalAnswer::Always, Some(subject)) = (answer, &row.subject) {
        tx.add_grant(&row.tool, subject, &row.summary, now)?;
    }
    let dialog = match tx.turn(row.turn)? {
        Some(turn) => tx.dialog(turn.dialog)?,
        None => None,
    };
    Ok(dialog.map(|dialog| dialog.session))
}

const DENIED: &str = "Not allowed: approval was denied. Do not try the same in other words; go on without it, or ask what \
                      they want instead.";
const EXPIRED: &str = "Not allowed: nobody answered in time. Say what you would have done; the person can ask for it again.";
