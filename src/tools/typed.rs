//! Tools written as an argument struct and a function. No thread of its own.
//!
//! Every built-in tool is one of these; tools whose schema comes from outside implement `Tool` themselves.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema::typed_schema;
use super::{Action, Effects, Tool, ToolCtx, ToolError, Workspace};

/// A tool with typed arguments; every such type is a [`Tool`].
///
/// Doc comments on the fields of `Args` are what the model reads about them: keep them to a few words.
pub trait TypedTool: Send + Sync {
    /// The arguments. Unknown keys are ignored.
    type Args: DeserializeOwned + JsonSchema;
    /// The name the model calls, `^[a-z][a-z0-9_]{0,63}$`.
    const NAME: &'static str;
    /// One or two sentences for the model.
    const DESCRIPTION: &'static str;

    /// Tells what running these arguments again would do.
    fn effects_of(&self, args: &Self::Args) -> Effects;

    /// Tells what a call would do, for the approval policy.
    fn action_of(&self, _args: &Self::Args, _workspace: &Workspace) -> Action {
        Action::allowed(Self::NAME)
    }

    /// Runs a call.
    fn call(&self, args: Self::Args, ctx: &ToolCtx<'_>) -> Result<String, ToolError>;
}

impl<T: TypedTool> Tool for T {
    fn name(&self) -> Cow<'static, str> {
        T::NAME.into()
    }

    fn description(&self) -> Cow<'static, str> {
        T::DESCRIPTION.into()
    }

    fn parameters(&self) -> Value {
        typed_schema::<T::Args>()
    }

    /// Arguments that cannot be read never run; they count as the worst case.
    fn effects(&self, arguments: &Value) -> Effects {
        T::Args::deserialize(arguments).map_or(Effects::SideEffect, |args| self.effects_of(&args))
    }

    /// Arguments that cannot be read never run.
    fn action(&self, arguments: &Value, workspace: &Workspace) -> Action {
        T::Args::deserialize(arguments).map_or_else(
            |_| Action::allowed(T::NAME),
            |args| self.action_of(&args, workspace),
        )
    }

    fn run(&self, arguments: &Value, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let args = T::Args::deserialize(arguments).map_err(|error| {
            ToolError::failed(format!("wrong arguments for {}: {error}", T::NAME))
        })?;
        self.call(args, ctx)
    }
}
