//! Secrets are read from files, and are in no output.

use super::{super::*, SECRET, file, mistake, sources, with_file};

const HIDE: &str = "hide-this-hide-this-hide-this-hide-this";

#[test]
fn a_secret_comes_from_its_file_without_the_last_line_break() {
    let (dir, path) = file(&format!("{SECRET}\n"));
    let path = path.to_string_lossy();
    let text = format!(
        "[resume]\nsecret_file = \"{path}\"\n[auth.keys.web]\nsecret_file = \"{path}\"\n[ice]\nturn_urls = \"turn:t.example\"\n\
         turn_secret_file = \"{path}\"\n[ops]\nlisten = \"0.0.0.0:9600\"\ntoken_file = \"{path}\"\n"
    );
    let loaded = with_file(&text).unwrap();
    let config = &loaded.config;
    let secret = Some(Secret::from(SECRET));
    let read = [&config.resume.secret, &config.auth.keys["web"][0].secret, &config.ice.turn_secret, &config.ops.token];
    assert!(read.iter().all(|read| **read == secret));
    assert!(loaded.provenance["resume.secret"].to_string().starts_with("file:"));
    drop(dir);
}

#[test]
fn an_unreadable_secret_file_is_named_with_key_path_and_reason() {
    for key in [
        "resume.secret_file",
        "ice.turn_secret_file",
        "auth.introspection.client_secret_file",
        "ops.token_file",
        "client.tls.cert_file",
    ] {
        let variable = format!("SIGNALBOX_{}", key.replace('.', "__").to_uppercase());
        let error = load(&sources(&[(&variable, "/nonexistent/secret")])).unwrap_err();
        let mistake = mistake(&error, key);
        assert_eq!(mistake.value, "/nonexistent/secret");
        assert!(mistake.problem.contains("No such file"), "{}", mistake.problem);
    }
    for key in ["secret_file", "public_key_file"] {
        let error = with_file(&format!("[auth.keys.web]\n{key} = \"/nonexistent/secret\"\n")).unwrap_err();
        assert!(mistake(&error, &format!("auth.keys.web.{key}")).problem.contains("No such file"));
        assert_eq!(error.mistakes.len(), 1, "{error}");
    }
}

#[test]
fn a_secret_file_beside_its_secret_an_empty_or_a_short_one_is_a_mistake() {
    let both = format!("[resume]\nsecret = \"{SECRET}\"\nsecret_file = \"/x\"\n");
    assert!(mistake(&with_file(&both).unwrap_err(), "resume.secret_file").problem.contains("set one of them"));
    let problem_of = |text: &str| {
        let (_dir, path) = file(text);
        let error = load(&sources(&[("SIGNALBOX_RESUME__SECRET_FILE", &path.to_string_lossy())])).unwrap_err();
        mistake(&error, "resume.secret_file").problem.clone()
    };
    assert_eq!(problem_of("\n"), "the file is empty");
    assert_eq!(problem_of("short\n"), "the secret in it has 5 bytes; allowed: 32 to 4096");
}

#[test]
fn no_output_holds_a_secret() {
    let text = format!(
        "[auth.keys.web]\nsecret = \"{HIDE}\"\n[auth.introspection]\nurl = \"https://user:{HIDE}@id.example/x\"\n\
         client_id = \"us\"\nclient_secret = \"{HIDE}\"\n[ice]\nturn_urls = \"turn:t.example\"\nturn_secret = \"{HIDE}\"\n\
         [[ice.servers]]\nurls = \"turn:t.example\"\nusername = \"u\"\ncredential = \"{HIDE}\"\n[resume]\nsecret = \"{HIDE}\"\n"
    );
    let loaded = with_file(&text).unwrap();
    assert_eq!(loaded.config.auth_settings().introspection.unwrap().client_secret.expose(), HIDE);
    let sources = sources(&[("SIGNALBOX_RESUME__SECRET", HIDE)]);
    let outputs = [
        format!("{loaded:?}"),
        format!("{:#?}", loaded.config),
        format!("{:?}", loaded.rows()),
        format!("{sources:?}"),
    ];
    for output in outputs {
        assert!(!output.contains("hide-this"), "{output}");
    }
    let shown = |key: &str| loaded.rows().into_iter().find(|row| row.key == key).unwrap().value;
    assert_eq!(shown("resume.secret"), "<hidden>");
    assert_eq!(shown("auth.keys.web.secret"), "<hidden>");
    assert_eq!(shown("auth.introspection.url"), "https://<hidden>@id.example/x");
}

#[test]
fn no_mistake_holds_a_secret() {
    let texts = [
        format!("[resume]\nsecret = [\"{HIDE}\"]\n"),
        format!("[resume]\nsecert = \"{HIDE}\"\n"),
        format!("[auth]\nkeys = \"{HIDE}\"\n"),
        format!("[auth.keys]\nweb = \"{HIDE}\"\n"),
        format!("[resume]\nsecret = \"{HIDE}\n"),
        format!("[resume]\nsecret = {HIDE}\n"),
        format!("[auth.keys.web]\nsecret = \"{HIDE}\"\nsecret_file = \"/x\"\n"),
        format!("[auth.jwks]\nurl = \"htps://user:{HIDE}@id.example\"\n"),
        format!("[ice]\nturn_urls = [\"turn:user:{HIDE}@turn.example\"]\n"),
        format!("[drain]\nreconnect_url = \"wss://user:{HIDE}@other.example\"\n"),
        format!("[ice]\nservers = [\"{HIDE}\"]\n"),
    ];
    for text in texts {
        let error = with_file(&text).unwrap_err();
        assert!(!format!("{error}{error:?}{:?}", error.mistakes).contains("hide-this"), "{error}");
    }
}
