//! From the words of a command line to an exit code.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use crate::console::Console;
use crate::failure::Teller;
use crate::flags::{self, Getopt, Id, Item, Page};
use crate::program::Program;
use crate::run::Context;
use crate::settings::{self, Settings};
use crate::stop::{Step, Stop};
use crate::verbs::{self, Verb};

#[must_use]
pub fn main() -> ExitCode {
    word_panics();
    // Before anything is opened. Where that is refused, a run of few files goes on, and one of many says which it could not open.
    let _ = instar_jail::allow_files();
    let mut words = std::env::args_os();
    let program = Program::new(words.next());
    let words: Vec<OsString> = words.collect();
    let mut console = Console::default();
    let mut verb = None;
    let mut teller = Teller::default();
    let early = early(words.clone());
    let outcome = Teller::asked_for(&early).and_then(|asked| {
        teller = asked;
        command(&program, words, &early, &mut console, &mut verb)
    });
    let code = match outcome {
        Ok(code) => code,
        Err(stop) => {
            teller.tell(&stop);
            conclude(stop, &program, verb, &mut console)
        }
    };
    console.conclude(&program);
    ExitCode::from(code)
}

/// A panic is our mistake. It says where, and nothing more: a backtrace reads files, for which our own jail would end us
/// before the message is out.
fn word_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {place}"));
        Console::complain(format!("internal error{place}; please report it").as_bytes());
    }));
}

fn command(
    program: &Program,
    words: Vec<OsString>,
    early: &[(Id, OsString)],
    console: &mut Console,
    verb: &mut Option<&'static str>,
) -> Step<u8> {
    let mut help = |page: &Page| console.print(flags::verb_page(page, program).as_bytes());
    let (command, settings) = read(program, words, early, verb, &mut help)?;
    command(&mut Context::begin(&settings.policy, program, console))
}

/// Judges a command line and carries nothing out; help is not printed.
///
/// # Errors
/// What is wrong with it, or what would be printed.
pub fn judge(program: &Program, words: Vec<OsString>) -> Step<()> {
    let early = early(words.clone());
    read(program, words, &early, &mut None, &mut |_| {}).map(|_| ())
}

/// What a command line asks for, and the settings with which it is carried out.
fn read(
    program: &Program,
    words: Vec<OsString>,
    early: &[(Id, OsString)],
    verb: &mut Option<&'static str>,
    help: &mut dyn FnMut(&Page),
) -> Step<(verbs::Command, Settings)> {
    let outside = settle_release(early);
    let mut common = Vec::new();
    let mut getopt = Getopt::new(flags::TOP.iter().chain(flags::POLICY), words, true).after(program.called());
    let found = loop {
        match getopt.next().transpose()? {
            None => return Err(Stop::Misuse(b"Not enough arguments".to_vec())),
            Some(Item::Operand(name)) => {
                break Verb::find(name.as_bytes()).ok_or_else(|| {
                    Stop::Misuse([b"Command not found: ".as_slice(), name.as_bytes()].concat())
                })?;
            }
            Some(Item::Flag(Id::Help, _)) => {
                return Err(Stop::Print(flags::top_page(verbs::pages(), program).into_bytes()));
            }
            Some(Item::Flag(Id::Version, _)) => return Err(Stop::Print(program.version().into_bytes())),
            Some(Item::Flag(Id::Trace, _)) => {}
            Some(Item::Flag(id, value)) => common.push((id, value)),
        }
    };
    *verb = Some(found.page.name);
    let mut secrets = Vec::new();
    let command = found.read(getopt.rest(), &mut common, &mut secrets, help)?;
    let mut settings = settings::with_options(outside?, &common)?;
    settings.policy.secrets = secrets.into();
    Ok((command, settings))
}

/// Settles which release of the reference tool is stood in for, before the command line is judged: it decides what is wrong with it
/// and how that is said. Gives what the settings outside of the command line come to; what is wrong with them is said later, when
/// nothing is wrong with the command line, which then names the same `--config` as it does here.
fn settle_release(early: &[(Id, OsString)]) -> Step<Settings> {
    let outside = settings::outside(early);
    let settings = outside
        .clone()
        .and_then(|settings| settings::with_options(settings, early));
    if let Ok(settings) = settings {
        crate::release::settle(settings.release);
    }
    outside
}

/// Those options of a command line that are wanted before it is judged.
fn early(words: Vec<OsString>) -> Vec<(Id, OsString)> {
    let mut options = Vec::new();
    let mut keep = |id, value| {
        if matches!(id, Id::QemuVersion | Id::Config | Id::Failure) {
            options.push((id, value));
        }
    };
    let mut top = Getopt::new(flags::TOP.iter().chain(flags::POLICY), words, true);
    let mut verb = None;
    while let Some(Ok(item)) = top.next() {
        match item {
            Item::Flag(id, value) => keep(id, value),
            Item::Operand(name) => {
                verb = Verb::find(name.as_bytes());
                break;
            }
        }
    }
    if let Some(verb) = verb {
        let line = Getopt::new(verb.page.flags(), top.rest(), verbs::shared::stop_at_operand());
        for item in line.map_while(Result::ok) {
            if let Item::Flag(id, value) = item {
                keep(id, value);
            }
        }
    }
    options
}

/// Says why the command ends; gives its exit code.
fn conclude(stop: Stop, program: &Program, verb: Option<&str>, console: &mut Console) -> u8 {
    match stop {
        Stop::Done => return 0,
        Stop::Caused(_, stop) => return conclude(*stop, program, verb, console),
        Stop::Print(text) => {
            console.print(&text);
            return 0;
        }
        Stop::Usage(text) => {
            let text = [program.usage_message(verb, &text), program.try_help(verb)].concat();
            Console::complain(&text);
        }
        Stop::Misuse(text) => {
            let text = [program.message(&text), program.try_help(verb)].concat();
            Console::complain(&text);
        }
        Stop::Message(text) => Console::complain(&program.message(&text)),
        Stop::Signal(number) => {
            instar_run::die_by(number);
            return u8::try_from(number).map_or(1, |number| number.saturating_add(128));
        }
        Stop::Coded(code, text) => {
            Console::complain(&program.message(&text));
            return code;
        }
        Stop::Messages(texts) => {
            let texts: Vec<Vec<u8>> = texts.iter().map(|text| program.message(text)).collect();
            Console::complain(&texts.concat());
        }
    }
    1
}
