//! Names of places in files of code, found in a process of its own: debug information takes a hundred megabytes and more,
//! which a router must neither grow by nor be killed for.
//!
//! The process is this same program, ends when nobody has asked for a while, and offers itself to be killed first when
//! memory is short. Where it is killed, or cannot be had, there are no names until it can: loading all that into a
//! router whose memory is short would be worse. Programs without the subcommand find names in themselves.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Named, code::Code};

/// The subcommand of the program that answers on standard output what is asked on standard input.
pub(crate) const COMMAND: &str = "names";
/// A cold start reads all debug information, and a busy machine takes its time for that.
const PATIENCE: Duration = Duration::from_secs(60);
/// The process ends, or debug information is let go of, when nobody has asked for that long.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How much less important than the router the process is to the scheduler (nice(2)).
const NICE: i32 = 10;
/// Places in one question; what is more has its names at the next one.
const PLACES_MAX: usize = 65_536;

/// A place in a file of code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) offset: u64,
}

/// What is at each place asked for, in the same order; the innermost function first.
type Answers = Vec<Vec<Named>>;

/// The same between processes: function, file and line.
type Told = Vec<Vec<(Box<str>, Box<str>, u32)>>;

/// Finds names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Whether this program has the subcommand.
    outside: bool,
    asking: Option<Asking>,
    inside: HashMap<PathBuf, Code>,
    asked: Option<Instant>,
}

impl Names {
    /// In a process of its own, or in this one.
    pub(super) fn new(outside: bool) -> Self {
        Self { outside, ..Self::default() }
    }

    /// What is at these places, at most [`PLACES_MAX`] of them; absent: it could not be asked, and may be later.
    pub(super) fn find(&mut self, places: &[Place]) -> Option<Answers> {
        self.asked = Some(Instant::now());
        let places = &places[..places.len().min(PLACES_MAX)];
        if !self.outside {
            return Some(answers(&mut self.inside, places));
        }
        let answers = self.ask(places).ok().filter(|answers| answers.len() == places.len());
        if answers.is_none() {
            // the next question starts a new process
            self.asking = None;
        }
        answers
    }

    fn ask(&mut self, places: &[Place]) -> io::Result<Answers> {
        let asking = match &mut self.asking {
            Some(asking) => asking,
            none => none.insert(Asking::start()?),
        };
        asking.ask(places)
    }

    /// Lets go of what takes memory when nobody has asked for a while.
    pub(super) fn rest(&mut self, now: Instant) {
        if self.asked.is_some_and(|asked| now.saturating_duration_since(asked) > IDLE_MAX) {
            *self = Self::new(self.outside);
        }
    }

    #[cfg(test)]
    pub(super) fn rests(&self) -> bool {
        self.inside.is_empty() && self.asking.is_none()
    }
}

fn answers(files: &mut HashMap<PathBuf, Code>, places: &[Place]) -> Answers {
    let lines = |place: &Place| {
        let code = files.entry(place.file.clone()).or_insert_with(|| Code::open(&place.file));
        code.lines(place.offset)
    };
    places.iter().map(lines).collect()
}

/// The other process.
struct Asking {
    child: Child,
    answers: Receiver<Told>,
}

impl Asking {
    fn start() -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // nothing that this process knows, and no signal that a terminal sends to it
        command.env_clear().process_group(0);
        let (tell, answers) = sync_channel(1);
        // from here on it ends with this
        let mut asking = Self { child: command.spawn()?, answers };
        let Some(stdout) = asking.child.stdout.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        thread::Builder::new().name("names".to_owned()).spawn(move || {
            let read = BufReader::new(stdout).lines().map_while(|line| serde_json::from_str(&line.ok()?).ok());
            // ends with the process, or when nobody listens any more
            read.take_while(|answers| tell.send(Told::clone(answers)).is_ok()).for_each(drop);
        })?;
        Ok(asking)
    }

    fn ask(&mut self, places: &[Place]) -> io::Result<Answers> {
        let Some(stdin) = &mut self.child.stdin else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut question = serde_json::to_vec(places)?;
        question.push(b'\n');
        // read whole before it is answered, so that neither waits for the other
        stdin.write_all(&question)?;
        let told = self.answers.recv_timeout(PATIENCE).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let named = |(function, file, line): (Box<str>, Box<str>, u32)| Named {
            function: function.into(),
            file: file.into(),
            line,
        };
        Ok(told.into_iter().map(|lines| lines.into_iter().map(named).collect()).collect())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Answers questions, a line each, until there are no more: what the subcommand does.
///
/// # Errors
/// When a question cannot be read, or its answer not be written.
pub(crate) fn answer_all(questions: impl BufRead, told: impl Write) -> io::Result<()> {
    File::options().write(true).open(Path::new("/proc/self/oom_score_adj")).and_then(|mut f| f.write_all(b"1000")).ok();
    // whoever looks at profiles can wait, and the router's workers cannot
    rustix::process::nice(NICE).ok();
    let mut files = HashMap::new();
    let mut told = BufWriter::new(told);
    for question in questions.lines() {
        let places: Vec<Place> = serde_json::from_str(&question?)?;
        let found = answers(&mut files, &places);
        let each = |named: &Named| (Box::from(&*named.function), Box::from(&*named.file), named.line);
        let found: Told = found.iter().map(|lines| lines.iter().map(each).collect()).collect();
        serde_json::to_writer(&mut told, &found)?;
        told.write_all(b"\n")?;
        told.flush()?;
    }
    Ok(())
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("process", &self.child.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(offset: u64) -> Place {
        Place { file: "/proc/self/exe".into(), offset }
    }

    #[test]
    fn the_subcommand_answers_each_question_in_its_order() {
        let questions = [vec![own(u64::MAX), Place { file: "/nowhere".into(), offset: 5 }], Vec::new()];
        let asked: String = questions.iter().map(|places| serde_json::to_string(places).unwrap() + "\n").collect();
        let mut told = Vec::new();
        answer_all(asked.as_bytes(), &mut told).unwrap();
        assert_eq!(String::from_utf8(told).unwrap(), "[[],[]]\n[]\n");
        assert!(answer_all(&b"what?\n"[..], io::sink()).is_err());
    }

    #[test]
    fn where_the_process_does_not_answer_there_are_no_names_and_none_are_found_in_this_one() {
        // this program is a test, which has no subcommand: the process ends without an answer
        let mut names = Names::new(true);
        let place = own(u64::MAX);
        assert_eq!(names.find(&[place.clone(), place.clone()]), None);
        assert!(names.rests());
        let mut names = Names::new(false);
        assert_eq!(names.find(&[place]), Some(vec![vec![]]));
        names.rest(Instant::now() + IDLE_MAX * 2);
        assert!(names.rests());
    }
}
