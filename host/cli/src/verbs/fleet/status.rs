//! `fleet status`: what has been done, and what has not.

use super::args::Args;
use super::plan::{Item, Plan};
use super::record::{End, Record, TRY_AGAIN};
use super::state::State;
use crate::json::{Json, Object, pretty};
use crate::run::Context;
use crate::show::Escaped;
use crate::stop::Step;

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Done,
    Failed,
    Running,
    /// It was tried, and is to be tried again.
    Again,
    Waiting,
}

impl Standing {
    const ALL: [Self; 5] = [
        Self::Done,
        Self::Failed,
        Self::Running,
        Self::Again,
        Self::Waiting,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Running => "running",
            Self::Again => "again",
            Self::Waiting => "waiting",
        }
    }
}

/// An item, how it stands, and what was recorded last.
pub(super) struct Line {
    pub(super) item: Item,
    pub(super) standing: Standing,
    pub(super) record: Option<Record>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let mut plan = Plan::open(args.plan())?;
    let lines = look(&mut plan)?;
    let text = match args.json {
        true => pretty(&json(&plan, &lines)) + "\n",
        false => human(&lines),
    };
    context.console.print(text.as_bytes());
    Ok(match lines.len().saturating_sub(count(&lines, Standing::Done)) {
        0 => 0,
        left if left == count(&lines, Standing::Failed) => 1,
        _ => TRY_AGAIN,
    })
}

/// Every item of a plan.
pub(super) fn look(plan: &mut Plan) -> Step<Vec<Line>> {
    let state = State::of(&plan.path, &plan.head);
    let mut lines = Vec::new();
    while let Some(item) = plan.next_item()? {
        lines.push(standing(&state, item)?);
    }
    Ok(lines)
}

fn standing(state: &State, item: Item) -> Step<Line> {
    let number = item.item;
    if let Some(record) = state.record(number)? {
        let standing = match record.end {
            End::Done => Standing::Done,
            End::Failed => Standing::Failed,
            End::Again => Standing::Again,
        };
        return Ok(Line {
            item,
            standing,
            record: Some(record),
        });
    }
    let record = state.last_try(number)?;
    let standing = match (state.holder(number)?, &record) {
        (Some(_), _) => Standing::Running,
        (None, Some(_)) => Standing::Again,
        (None, None) => Standing::Waiting,
    };
    Ok(Line {
        item,
        standing,
        record,
    })
}

fn count(lines: &[Line], standing: Standing) -> usize {
    lines.iter().filter(|line| line.standing == standing).count()
}

/// A line for each item that is not simply done or waiting, then the numbers.
fn human(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        if matches!(line.standing, Standing::Done | Standing::Waiting) {
            continue;
        }
        let number = line.item.item;
        let source = Escaped(line.item.source.as_bytes());
        text.push_str(&format!("{number} {}: {source}", line.standing.word()));
        if let Some(why) = line.record.as_ref().and_then(|record| record.message.as_deref()) {
            text.push_str(&format!(": {}", Escaped(why.as_bytes())));
        }
        text.push('\n');
    }
    let counts = Standing::ALL.map(|standing| format!("{} {}", count(lines, standing), standing.word()));
    text.push_str(&format!("{} items: {}\n", lines.len(), counts.join(", ")));
    text
}

fn json(plan: &Plan, lines: &[Line]) -> Json {
    let mut object = Object::new()
        .with("plan", plan.head.id.as_str())
        .with("items", lines.len() as u64)
        .with_some("in-flight", plan.head.in_flight);
    for standing in Standing::ALL {
        object = object.with(standing.word(), count(lines, standing) as u64);
    }
    let list: Vec<Json> = lines.iter().map(|line| Json::from(told(line))).collect();
    object.with("list", list).into()
}

fn told(line: &Line) -> Object {
    let record = line.record.as_ref();
    let text = |get: fn(&Record) -> Option<&str>| record.and_then(get);
    Object::new()
        .with("item", line.item.item)
        .with("state", line.standing.word())
        .with("source", line.item.source.as_str())
        .with("target", line.item.target.as_str())
        .with_some("cause", text(|record| record.cause.as_deref()))
        .with_some("message", text(|record| record.message.as_deref()))
        .with_some("checksum", text(|record| record.checksum.as_deref()))
        .with_some("milliseconds", record.map(|record| milliseconds(record.seconds)))
        .with_some("tries", record.map(|record| record.tries))
}

/// Whole milliseconds: JSON of the reference tool has no fractions.
fn milliseconds(seconds: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|time| u64::try_from(time.as_millis()).ok())
        .unwrap_or(u64::MAX)
}
