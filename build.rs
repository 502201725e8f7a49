//! Compiles the IDL: message types with their JSON mapping, gRPC client and server.
//!
//! `protox` is a protobuf compiler in Rust. A build needs `protoc` all the same: `metrics-exporter-prometheus` compiles
//! the families of its exposition with it.

const DIR: &str = "src/protocol/signalbox/v1";
const RELAY_DIR: &str = "src/protocol/signalbox/relay/v1";

/// Messages with a `oneof`: a macro in `protocol/json.rs` maps them.
const WITH_ONEOF: [&str; 3] = ["ClientFrame", "ServerFrame", "Event"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={DIR}");
    let descriptors = protox::compile(["signaling.proto", "rooms.proto", "media.proto"], [DIR])?;
    let mut config = tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .btree_map(".")
        .boxed(".signalbox.v1.ServerFrame.body.joined")
        .boxed(".signalbox.v1.ServerFrame.body.resumed")
        .boxed(".signalbox.v1.ServerFrame.body.ok")
        .boxed(".signalbox.v1.ClientFrame.op.join")
        .boxed(".signalbox.v1.ClientFrame.op.publish")
        .boxed(".signalbox.v1.ClientFrame.op.update")
        .boxed(".signalbox.v1.Event.kind.participant_joined")
        .boxed(".signalbox.v1.Event.kind.participant_updated")
        .boxed(".signalbox.v1.Event.kind.track_published")
        .boxed(".signalbox.v1.Event.kind.room_updated")
        .protoc_arg("--experimental_allow_proto3_optional");
    for file in &descriptors.file {
        for message in &file.message_type {
            let name = message.name();
            let path = format!(".signalbox.v1.{name}");
            if WITH_ONEOF.contains(&name) {
                continue;
            }
            config = config
                .message_attribute(&path, "#[derive(serde::Serialize, serde::Deserialize)]")
                .message_attribute(&path, "#[serde(default)]");
            for field in &message.field {
                config = field_json(config, &path, field);
            }
        }
    }
    config.compile_fds(descriptors)?;
    relay()
}

/// What routers say to each other: no client sees it, so it has no JSON.
fn relay() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={RELAY_DIR}");
    let descriptors = protox::compile(["relay.proto"], [RELAY_DIR, DIR])?;
    // what it takes from the clients' protocol is there already, in the folder above
    let folder = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("relay");
    std::fs::create_dir_all(&folder)?;
    let config = tonic_prost_build::configure().build_transport(false).bytes(".").out_dir(folder);
    config.extern_path(".signalbox.v1", "crate::protocol::v1").compile_fds(descriptors)?;
    Ok(())
}

type Builder = tonic_prost_build::Builder;
type Field = prost_types::FieldDescriptorProto;

/// The serde attributes of one field: absent values are left out; enums, `data` and `bytes` have a mapping of their own.
fn field_json(mut config: Builder, message: &str, field: &Field) -> Builder {
    use prost_types::field_descriptor_proto::{Label, Type};
    let path = format!("{message}.{}", field.name());
    let repeated = field.label() == Label::Repeated;
    let optional = field.proto3_optional() || (field.r#type() == Type::Message && !repeated);
    let skip = match field.r#type() {
        _ if optional => "Option::is_none",
        Type::Message if repeated && field.type_name().ends_with("Entry") => "std::collections::BTreeMap::is_empty",
        _ if repeated => "Vec::is_empty",
        Type::String => "String::is_empty",
        Type::Enum => "crate::protocol::json::is_zero",
        // numbers and booleans are always written: a client reads `muted: false`, not its absence
        _ => "",
    };
    if !skip.is_empty() {
        config = config.field_attribute(&path, format!("#[serde(skip_serializing_if = \"{skip}\")]"));
    }
    let with = match (field.r#type(), field.name()) {
        (Type::Enum, _) => {
            let name = field.type_name().rsplit('.').next().unwrap_or_default();
            let many = if repeated { "::many" } else { "" };
            format!("crate::protocol::json::{}{many}", snake(name))
        }
        (Type::String, "data") => "crate::protocol::json::raw".to_owned(),
        (Type::Bytes, _) => "crate::protocol::json::base64".to_owned(),
        _ => String::new(),
    };
    if !with.is_empty() {
        config = config.field_attribute(&path, format!("#[serde(with = \"{with}\")]"));
    }
    if message.ends_with(".Candidate") {
        let alias = camel(field.name());
        if alias != field.name() {
            config = config.field_attribute(&path, format!("#[serde(alias = \"{alias}\")]"));
        }
    }
    config
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// `sdp_m_line_index` is `sdpMLineIndex` in the W3C's words.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}
