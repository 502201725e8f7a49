//! The floor: the least that a fan-out between WebSockets can do on tokio. No token, no state but who is in a
//! room, no log of events, no telemetry. What signalbox costs is measured against it.
//!
//! A connection says `join <room>`, hears `joined`, and from then on its text messages go to the room's others.
//! Rooms are owned by a few tasks, each fed through one bounded inbox.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
};

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

/// Inputs that wait for an owner.
const INBOX: usize = 4096;
/// Messages that wait for one connection; one that reads too slowly misses the rest.
const OUTBOUND: usize = 256;

type Outbound = mpsc::Sender<Message>;

/// What an owner of rooms is told.
enum Input {
    Join { member: u64, room: Box<str>, outbound: Outbound },
    Text { member: u64, room: Box<str>, message: Message },
    Leave { member: u64, room: Box<str> },
}

/// Serves until it is killed; says on standard output where.
pub(crate) fn serve(listen: SocketAddr, owners: usize) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let inboxes: Vec<_> = (0..owners.max(1)).map(|_| own()).collect();
        let hasher = RandomState::new();
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        crate::say(&format!("listening client={}", listener.local_addr()?));
        for member in 0.. {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            tokio::spawn(converse(tcp, member, inboxes.clone(), hasher.clone()));
        }
        Ok(())
    })
}

/// Starts the owner of a share of the rooms.
fn own() -> mpsc::Sender<Input> {
    let (inbox, mut inputs) = mpsc::channel(INBOX);
    tokio::spawn(async move {
        let mut rooms: HashMap<Box<str>, Vec<(u64, Outbound)>> = HashMap::new();
        let mut batch = Vec::with_capacity(256);
        while inputs.recv_many(&mut batch, 256).await > 0 {
            for input in batch.drain(..) {
                handle(&mut rooms, input);
            }
        }
    });
    inbox
}

fn handle(rooms: &mut HashMap<Box<str>, Vec<(u64, Outbound)>>, input: Input) {
    match input {
        Input::Join { member, room, outbound } => {
            outbound.try_send(Message::text("joined")).ok();
            rooms.entry(room).or_default().push((member, outbound));
        }
        Input::Text { member, room, message } => {
            for (_, outbound) in rooms.get(&room).into_iter().flatten().filter(|(other, _)| *other != member) {
                outbound.try_send(message.clone()).ok();
            }
        }
        Input::Leave { member, room } => {
            if let Some(members) = rooms.get_mut(&room) {
                members.retain(|(other, _)| *other != member);
                if members.is_empty() {
                    rooms.remove(&room);
                }
            }
        }
    }
}

/// One connection, from its handshake to its end.
async fn converse(tcp: TcpStream, member: u64, inboxes: Vec<mpsc::Sender<Input>>, hasher: RandomState) {
    let Ok((_, stream)) = ServerBuilder::new().accept(tcp).await else { return };
    let (sink, mut messages) = stream.split();
    let Some(Ok(hello)) = messages.next().await else { return };
    let Some(room) = hello.as_text().and_then(|text| text.strip_prefix("join ")).map(Box::<str>::from) else { return };
    let inbox = &inboxes[(hasher.hash_one(&room) % inboxes.len() as u64) as usize];
    let (outbound, waiting) = mpsc::channel(OUTBOUND);
    if inbox.send(Input::Join { member, room: room.clone(), outbound }).await.is_err() {
        return;
    }
    tokio::spawn(write(sink, waiting));
    while let Some(Ok(message)) = messages.next().await {
        if message.is_text() && inbox.send(Input::Text { member, room: room.clone(), message }).await.is_err() {
            return;
        }
    }
    inbox.send(Input::Leave { member, room }).await.ok();
}

/// Writes what waits, as much as there is at a time, then flushes.
async fn write(mut sink: SplitSink<WebSocketStream<TcpStream>, Message>, mut waiting: mpsc::Receiver<Message>) {
    while let Some(first) = waiting.recv().await {
        let mut next = Some(first);
        while let Some(message) = next {
            if sink.feed(message).await.is_err() {
                return;
            }
            next = waiting.try_recv().ok();
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}
