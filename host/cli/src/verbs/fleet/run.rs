//! `fleet run`: one item, from its lease to its record.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::args::Args;
use super::attend::{Heard, attend};
use super::identity::Identity;
use super::lease::{Lease, Taken};
use super::plan::{Head, Item, Plan, Whole, failed};
use super::record::{End, Record, TRY_AGAIN};
use super::state::{MESSAGE, State};
use super::verdict::{Failure, is_passing, verdict};
use super::worker::host;
use crate::console::Console;
use crate::run::{Context, instance};
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::words;
use instar_run::Cause;

/// Where engines say which item is meant.
const NUMBERS: [&str; 2] = ["JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID"];

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let number = match args.item {
        Some(number) => number,
        None => from_environment()?,
    };
    // A machine without the storage is no reason to give an item up.
    let plan = Plan::open(args.plan()).map_err(passing)?;
    let state = State::of(&plan.path, &plan.head);
    let (head, item) = plan.item(number)?;
    state.begin().map_err(passing)?;
    match state.record(number).map_err(passing)? {
        Some(record) if record.end == End::Done => return Ok(0),
        Some(record) if !args.again => return Ok(said_before(&record, context)),
        Some(_) => state.forget(number).map_err(passing)?,
        None => {}
    }
    let lease = match state.lease(number).map_err(passing)? {
        Taken::Ours(lease) => Arc::new(lease),
        Taken::Held(who) => {
            let text = format!(
                "item {number} is being carried out by {}",
                Escaped(who.as_bytes())
            );
            return Err(Stop::Coded(TRY_AGAIN, text.into_bytes()).because(Cause::Busy));
        }
    };
    let start = Instant::now();
    let ended = carry_out(&head, &item, &lease, &args.settings, context);
    let tries = state
        .last_try(number)
        .map_err(passing)?
        .map_or(0, |last| last.tries);
    let record = ended.map(|ended| Record {
        plan: head.id,
        item: number,
        end: ended.end,
        cause: ended.failure.map(|failure| failure.cause),
        message: ended.message,
        checksum: ended.checksum,
        seconds: start.elapsed().as_secs_f64(),
        host: host(),
        target: ended.target,
        tries: tries.saturating_add(1),
    });
    let settled = record.and_then(|record| {
        state.settle(&record).map_err(passing)?;
        Ok(record.end.code())
    });
    let given_back = lease.give_back();
    let code = settled?;
    given_back.map_err(|error| unable(&error))?;
    Ok(code)
}

fn from_environment() -> Step<u64> {
    let named = NUMBERS
        .into_iter()
        .find_map(|name| Some((name, std::env::var_os(name)?)));
    let Some((name, value)) = named else {
        return Err(Stop::say(
            "which item? Give its number with --item, or in JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID",
        ));
    };
    super::choice::number(name, &value)
}

/// What is wrong with the storage may be right again the next time, and no item is to blame.
fn passing(stop: Stop) -> Stop {
    match stop.cause() {
        Some(cause) if is_passing(cause.word(), cause.errno()) => stop.with_code(TRY_AGAIN),
        _ => stop,
    }
}

/// Of something that the system did not do.
fn unable(error: &std::io::Error) -> Stop {
    let cause = Cause::of_system(error.raw_os_error());
    passing(Stop::say(words::system(error)).because(cause))
}

/// An item that failed before is not tried again: no image can have a fleet of machines work on it.
fn said_before(record: &Record, context: &Context<'_>) -> u8 {
    let why = record.message.as_deref().unwrap_or("no reason is recorded");
    let text = format!(
        "item {} has failed before (run --again tries it anew): {}",
        record.item,
        Escaped(why.as_bytes())
    );
    Console::complain(&context.program.message(text.as_bytes()));
    record.end.code()
}

/// How an item came out.
struct Ended {
    end: End,
    failure: Option<Failure>,
    message: Option<String>,
    checksum: Option<String>,
    target: Option<Identity>,
}

impl Ended {
    fn not(end: End, cause: Cause, message: String) -> Self {
        Self {
            end,
            failure: Some(Failure {
                cause: cause.word().to_owned(),
                errno: cause.errno(),
            }),
            message: Some(message),
            checksum: None,
            target: None,
        }
    }
}

fn carry_out(
    head: &Head,
    item: &Item,
    lease: &Arc<Lease>,
    settings: &[OsString],
    context: &Context<'_>,
) -> Step<Ended> {
    if let Some(ended) = changed(item) {
        complain(&ended, context);
        return Ok(ended);
    }
    let mut command = instance::again();
    command.arg("convert").arg("--failure=json:1");
    command.args(&head.settings).args(settings).args(&head.arguments);
    match (&head.whole, item.range) {
        (Some(whole), Some(range)) => {
            let place = whole.data_offset.saturating_add(range.offset);
            command
                .arg("--range")
                .arg(format!("{}+{}", range.offset, range.length));
            command.arg("--range-at").arg(place.to_string());
            command.arg("--").arg(&item.source).arg(written_to(whole));
        }
        _ => {
            command.arg("--").arg(&item.source).arg(&item.target);
        }
    }
    let heard = attend(&mut command, lease).map_err(|error| unable(&error))?;
    // What is said in the middle of a conversion that goes well are warnings.
    Console::complain(&heard.complaints);
    let mut ended = judged(&heard);
    if ended.end == End::Done
        && let Some(other) = changed(item)
    {
        complain(&other, context);
        return Ok(other);
    }
    if ended.end == End::Done && head.whole.is_none() {
        let found = Identity::of(Path::new(&item.target));
        ended.target = Some(found.map_err(|error| passing(failed(Path::new(&item.target), &error)))?);
    }
    Ok(ended)
}

/// The file that ranges are written to.
pub(super) fn written_to(whole: &Whole) -> &str {
    whole.hidden.as_deref().unwrap_or(&whole.target)
}

/// Why the source is not what the plan was made for, if it is not.
fn changed(item: &Item) -> Option<Ended> {
    let name = Escaped(item.source.as_bytes());
    match Identity::of(Path::new(&item.source)) {
        Ok(found) if found == item.identity => None,
        Ok(_) => Some(Ended::not(
            End::Failed,
            Cause::Arguments,
            format!("'{name}' has changed since the plan was made; make the plan anew"),
        )),
        Err(error) => {
            let cause = Cause::of_system(error.raw_os_error());
            let end = match is_passing(cause.word(), cause.errno()) {
                true => End::Again,
                false => End::Failed,
            };
            Some(Ended::not(
                end,
                cause,
                format!("'{name}': {}", words::system(&error)),
            ))
        }
    }
}

fn complain(ended: &Ended, context: &Context<'_>) {
    if let Some(message) = &ended.message {
        Console::complain(&context.program.message(message.as_bytes()));
    }
}

fn judged(heard: &Heard) -> Ended {
    let answers = String::from_utf8_lossy(&heard.answers);
    let failure: Option<Failure> = answers.lines().find_map(|line| serde_json::from_str(line).ok());
    let checksum = answers.lines().find(|line| line.contains("-tree:"));
    let end = match heard.lost {
        true => End::Again,
        false => verdict(heard.status, failure.as_ref()),
    };
    let text = String::from_utf8_lossy(&heard.complaints);
    let mut message = text
        .strip_prefix("instar: ")
        .unwrap_or(&text)
        .trim_end()
        .to_owned();
    if heard.lost {
        message.push_str("the lease was lost: this machine was too slow to say that it is alive");
    } else if message.is_empty() && end != End::Done {
        message = heard.status.to_string();
    }
    message.truncate(message.floor_char_boundary(MESSAGE));
    Ended {
        end,
        failure,
        message: (!message.is_empty()).then_some(message),
        checksum: checksum.map(str::to_owned),
        target: None,
    }
}
