//! What a router's core says is carried out, and noted in the chronicle.

use signalbox::{
    event::{Event as Fact, KeepingFact},
    fabric::{Ask, EntryKept, SaidKept, Write},
    ids::{ConnectionId, RoomId},
    protocol::{
        Code,
        v1::{Event, ServerFrame, server_frame::Body},
    },
    router::{Input, Output},
};

use super::{
    checks::{branches, directed, loss, repeats, replaced, sessions},
    chronicle::{Ended, LifeId, What},
    client::said,
    host::{name, number},
    plan::{MS, Planted},
    world::{Event as Happens, World},
};

impl World {
    /// Hands something to a router's core.
    pub(crate) fn handle(&mut self, router: usize, input: Input) {
        self.tell(|| format!("  r{router} <- {input:?}"));
        let mut outputs = Vec::new();
        let now = self.hosts[router].now(self.now);
        self.hosts[router].core.handle(input, now, &mut outputs);
        // who comes in is told before it is told that the room is there
        for output in &outputs {
            if let Output::Observe(Fact::RoomCreated { room }) = output {
                self.room_begins(router, number(room.as_str()));
            }
        }
        for output in outputs {
            self.tell(|| format!("  r{router} -> {output:?}"));
            self.carry_out(router, output);
        }
        replaced::left_open(self, router);
    }

    pub(crate) fn woken(&mut self, router: usize) {
        // one that was told for earlier, and is not the newest, is no moment of its own
        if self.hosts[router].wake.is_some_and(|wake| wake <= self.now) {
            self.hosts[router].wake = None;
            self.handle(router, Input::Tick);
        }
    }

    fn carry_out(&mut self, router: usize, output: Output) {
        match output {
            Output::Send { to, frame, .. } => self.says(router, to, *frame),
            Output::Fanout { to, frame } => {
                for to in to {
                    self.says(router, to, (*frame).clone());
                }
            }
            Output::Close { refusal, .. }
                if self.planted == Some(Planted::UntoldReplaced) && refusal.code == Code::Replaced => {}
            Output::Close { connection, refusal } => {
                self.send_close(connection.0, refusal.code, refusal.url.as_deref().map(str::to_owned));
            }
            Output::Keep { room, epoch, ask } => self.asks(router, &room, epoch, ask),
            Output::Wake(at) => {
                let (at, start) = (self.hosts[router].moment(at).max(self.now), self.hosts[router].start);
                self.hosts[router].wake = Some(at);
                self.at(at, Happens::Wake { router, start });
            }
            Output::Observe(fact) => self.observe(router, fact),
            Output::Attach { connection, session, .. } => {
                self.connections[connection.0 as usize - 1].attached = Some(session.as_str().to_owned());
            }
            Output::AdminReply { .. } | Output::Detach { .. } | Output::Ended(_) => {}
            // who comes back and is not known waits until it was looked; nothing else does where rooms acknowledge what they have
            Output::Hold { ticket, by } => {
                let (at, start) = (self.hosts[router].moment(by).max(self.now), self.hosts[router].start);
                self.at(at, Happens::HeldUntil { router, start, ticket });
            }
            // one that was released is nothing to its core any more
            Output::Release(_) => {}
            Output::Awaits(_) | Output::Media { .. } => {
                self.broken.push("[order] a media node was called, and there is none".to_owned());
            }
        }
    }

    fn asks(&mut self, router: usize, room: &RoomId, epoch: signalbox::ids::Epoch, ask: Ask) {
        let room = number(room.as_str());
        if let Some(life) = self.hosts[router].here.get(&room).copied() {
            self.name_life(life, &epoch.to_string());
            match &ask {
                Ask::Write(write) => self.note_written(life, write),
                Ask::Part(last) | Ask::Leave(last) => self.note_written(life, &last.write),
                Ask::Claim | Ask::Look | Ask::End { .. } => {}
            }
        }
        self.ask(router, room, epoch, ask);
    }

    /// What a router writes is what stood there, and tells also of what nobody was there to hear.
    fn note_written(&mut self, life: LifeId, write: &Write) {
        for (offset, entry) in &write.entries {
            let what = match EntryKept::read(entry).ok().and_then(|entry| entry.said) {
                Some(SaidKept::Event(Event { kind: Some(kind), .. })) => What::of(&kind),
                Some(SaidKept::Data(push)) => said(&push),
                other => return self.broken.push(format!("[whole] {other:?} was written at {offset}")),
            };
            self.stands_at(life, *offset, what);
        }
    }

    fn name_life(&mut self, life: LifeId, epoch: &str) {
        if let Err(why) = self.chronicle.name(life, epoch) {
            self.broken.push(why);
        }
    }

    /// A frame for a client.
    fn says(&mut self, router: usize, to: ConnectionId, frame: ServerFrame) {
        let client = self.connections[to.0 as usize - 1].client;
        let life = self.hosts[router].here.get(&self.clients[client].room).copied();
        if let Some(life) = life {
            self.note(life, client, &frame);
        }
        self.send_frame(to.0, frame, life);
    }

    fn note(&mut self, life: LifeId, client: usize, frame: &ServerFrame) {
        match &frame.body {
            Some(Body::Joined(joined)) => {
                self.name_life(life, &joined.epoch);
                let (identity, id) =
                    joined.you.as_ref().map(|you| (you.identity.clone(), you.id.clone())).unwrap_or_default();
                self.stands_at(life, joined.offset, What::Happened { word: "joined", identity, id });
                self.chronicle.acknowledge(life, joined.offset);
            }
            Some(Body::Resumed(resumed)) => self.name_life(life, &resumed.epoch),
            Some(Body::Data(push)) => {
                if let Some(offset) = push.offset {
                    self.stands_at(life, offset, said(push));
                }
            }
            Some(Body::Event(event)) => {
                if let Some(kind) = &event.kind {
                    self.stands_at(life, event.offset, What::of(kind));
                }
            }
            Some(Body::Ok(ok)) => {
                let id = frame.id.unwrap_or_default();
                match ok.offset {
                    Some(offset) => repeats::done(self, (life, offset), client, id),
                    None => directed::done(self, life, (client, id)),
                }
            }
            _ => {}
        }
    }

    /// That stands at an offset of a life.
    pub(crate) fn stands_at(&mut self, life: LifeId, offset: u64, what: What) {
        if let Err(why) = self.chronicle.note(life, offset, what, self.now) {
            self.broken.push(why);
        }
    }

    fn observe(&mut self, router: usize, fact: Fact) {
        match fact {
            Fact::RoomClosed { room, reason } => self.room_ends(router, number(room.as_str()), reason),
            Fact::SessionClosed { session, reason, .. } => sessions::ended(self, router, session.as_str(), reason),
            Fact::Keeping(KeepingFact::RoomHandedOver { room, .. }) => {
                if let Some(life) = self.hosts[router].here.get(&number(room.as_str())) {
                    self.chronicle.end(*life, self.now, Ended::HandedOver);
                }
            }
            Fact::Keeping(KeepingFact::RoomSetBeside { room, .. }) => {
                if let Some(life) = self.hosts[router].here.get(&number(room.as_str())) {
                    self.chronicle.end(*life, self.now, Ended::HandedOver);
                }
            }
            Fact::Keeping(KeepingFact::RoomMerged { room, epoch, last, after, events, .. }) => {
                if let Some(life) = self.hosts[router].here.get(&number(room.as_str())).copied() {
                    branches::merged(self, life, (&epoch.to_string(), last.0), (after.0, events as u64));
                }
            }
            Fact::Keeping(KeepingFact::RoomNotMerged { room, why }) => {
                self.broken.push(format!("[branches] {room} was not merged: {why}"));
            }
            Fact::Keeping(KeepingFact::RoomNotRestored { room, why }) if !self.hosts[router].drains => {
                self.broken.push(format!("[whole] {room} was not restored: {why}"));
            }
            _ => {}
        }
    }

    fn room_begins(&mut self, router: usize, room: usize) {
        let restores = self.restores.filter(|restores| restores.room == room);
        if restores.is_some_and(|restores| restores.before.is_none()) {
            self.broken.push(format!("[loss] room {room} goes on from a life that nobody knows"));
        }
        let parent = restores.and_then(|restores| Some((restores.before?, restores.last)));
        let life = self.chronicle.begin((room, router), parent, self.plan.settings);
        self.chronicle.lives[life].first = restores.map_or(1, |restores| restores.first);
        self.hosts[router].here.insert(room, life);
        // what Redis has that the disk does not is judged when it could have come in
        if !restores.is_some_and(|restores| restores.from_disk) {
            self.judge(room, Some(life), parent.is_none() && self.unknown);
        }
        let start = self.hosts[router].start;
        let at = self.now + self.rng.u64(MS..4 * MS);
        self.at(at, Happens::Register { router, start, room });
    }

    fn room_ends(&mut self, router: usize, room: usize, reason: Code) {
        self.moved.remove(&(router, room));
        let Some(life) = self.hosts[router].here.remove(&room) else {
            return self.broken.push(format!("[order] {} ended at r{router}, where it was not", name(room)));
        };
        let how = if reason == Code::Left { Ended::Empty } else { Ended::Dropped };
        self.chronicle.end(life, self.now, how);
        if how == Ended::Empty {
            loss::empty(&mut self.chronicle, life);
        }
        let start = self.hosts[router].start;
        let at = self.now + self.rng.u64(MS..4 * MS);
        self.at(at, Happens::Release { router, start, room });
    }
}
