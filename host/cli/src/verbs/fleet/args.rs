//! `fleet`: its command line.

use std::ffi::OsString;
use std::path::PathBuf;

use super::choice::{self, Choice, Claim, Engine};
use super::flags;
use super::{finish, lay, run, script, status};
use crate::flags::Id;
use crate::run::Context;
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::verbs::shared::{Line, output_is_json};
use std::os::unix::ffi::OsStrExt;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Plan,
    Run,
    Status,
    Finish,
    Script,
}

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    action: Action,
    /// What follows the action.
    pub(super) operands: Vec<OsString>,
    /// The settings on this command line, for instances of ourselves.
    pub(super) settings: Vec<OsString>,
    /// How images are converted.
    pub(super) choice: Choice,
    /// `--item`.
    pub(super) item: Option<u64>,
    /// `--again`.
    pub(super) again: bool,
    /// `--output json`.
    pub(super) json: bool,
    /// `--waive`.
    pub(super) waived: Vec<u64>,
    /// `--verify`.
    pub(super) verify: bool,
    /// `--slurm`, `--kubernetes`, `--parallel`.
    pub(super) engine: Option<Engine>,
    /// `--image`.
    pub(super) image: Option<OsString>,
    /// `--claim`.
    pub(super) claims: Vec<Claim>,
}

impl Args {
    /// The only operand behind the action.
    pub(super) fn plan(&self) -> PathBuf {
        self.operands.iter().collect()
    }
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args {
        action: Action::Status,
        operands: Vec::new(),
        settings: Vec::new(),
        choice: Choice::default(),
        item: None,
        again: false,
        json: false,
        waived: Vec::new(),
        verify: false,
        engine: None,
        image: None,
        claims: Vec::new(),
    };
    let mut given = Vec::new();
    let mut operands = line.read(|id, value| {
        given.push(id);
        args.take(id, value)
    })?;
    args.settings = line.settings();
    if operands.is_empty() {
        return Err(Stop::Misuse(
            b"Expecting plan, run, status, finish or script".to_vec(),
        ));
    }
    let action = operands.remove(0);
    args.action = named(&action)?;
    let allowed = flags::of(args.action);
    if let Some(strange) = given.iter().find(|id| !allowed.contains(id)) {
        let name = flags::name(*strange);
        return Err(Stop::Misuse(
            format!(
                "--{name} is not an option of 'fleet {}'",
                Escaped(action.as_bytes())
            )
            .into_bytes(),
        ));
    }
    if args.action != Action::Plan && operands.len() != 1 {
        return Err(Stop::Misuse(b"Expecting one plan".to_vec()));
    }
    args.operands = operands;
    Ok(args)
}

pub(super) fn carry_out(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    match args.action {
        Action::Plan => lay::run(args, context),
        Action::Run => run::run(args, context),
        Action::Status => status::run(args, context),
        Action::Finish => finish::run(args, context),
        Action::Script => script::run(args, context),
    }
}

fn named(word: &OsString) -> Step<Action> {
    match word.as_bytes() {
        b"plan" => Ok(Action::Plan),
        b"run" => Ok(Action::Run),
        b"status" => Ok(Action::Status),
        b"finish" => Ok(Action::Finish),
        b"script" => Ok(Action::Script),
        other => Err(Stop::Misuse(
            format!(
                "fleet does plan, run, status, finish and script, not '{}'",
                Escaped(other)
            )
            .into_bytes(),
        )),
    }
}

impl Args {
    fn take(&mut self, id: Id, value: OsString) -> Step<()> {
        match id {
            Id::FleetItem => self.item = Some(choice::number("--item", &value)?),
            Id::Again => self.again = true,
            Id::Output => self.json = output_is_json(&value)?,
            Id::Waive => self.waived.extend(choice::numbers("--waive", &value)?),
            Id::Verify => self.verify = true,
            Id::Slurm => self.choose(Engine::Slurm)?,
            Id::Kubernetes => self.choose(Engine::Kubernetes)?,
            Id::ParallelTool => self.choose(Engine::Parallel)?,
            Id::ContainerImage => self.image = Some(value),
            Id::Claim => self.claims.push(Claim::parse(&value)?),
            _ => self.choice.take(id, value)?,
        }
        Ok(())
    }

    fn choose(&mut self, engine: Engine) -> Step<()> {
        match self.engine.replace(engine) {
            Some(other) if other != engine => Err(Stop::Misuse(
                b"Only one of --slurm, --kubernetes and --parallel can be given".to_vec(),
            )),
            _ => Ok(()),
        }
    }
}
