//! Who says it: the resource that traces and logs of this process carry, and metrics name in `target_info`.

use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, resource::TelemetryResourceDetector};

use crate::telemetry::catalog::SERVICE_NAME;

/// What is not the same for every router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSettings {
    /// Of the program.
    pub version: String,
    /// Names this process among all of its kind; the same as in metrics.
    pub instance_id: String,
    /// The operator's own, name and value.
    pub attributes: Vec<(String, String)>,
}

impl ResourceSettings {
    /// In the words of OpenTelemetry's semantic conventions.
    pub(super) fn resource(&self) -> Resource {
        let own = self.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        let mut attributes: Vec<_> = own.collect();
        if let Some(host) = host_name() {
            attributes.push(KeyValue::new("host.name", host));
        }
        attributes.extend([
            KeyValue::new("process.pid", i64::from(std::process::id())),
            KeyValue::new("service.name", SERVICE_NAME),
            KeyValue::new("service.version", self.version.clone()),
            KeyValue::new("service.instance.id", self.instance_id.clone()),
        ]);
        // later ones win: nobody can take this process' name; no detector that reads the environment
        let builder = Resource::builder_empty().with_detector(Box::new(TelemetryResourceDetector));
        builder.with_attributes(attributes).build()
    }
}

/// In a container, its id or its pod's name.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_attributes_stand_beside_the_service_and_cannot_take_its_name() {
        let attributes =
            [("deployment.environment.name", "staging"), ("service.name", "other"), ("host.name", "elsewhere")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let settings = ResourceSettings { version: "1.2.3".to_owned(), instance_id: "r-7".to_owned(), attributes };
        let resource = settings.resource();
        let of = |name: &'static str| resource.get(&name.into()).map(|value| value.to_string());
        assert_eq!(of("service.name").as_deref(), Some("signalbox"));
        assert_eq!(of("service.version").as_deref(), Some("1.2.3"));
        assert_eq!(of("service.instance.id").as_deref(), Some("r-7"));
        assert_eq!(of("deployment.environment.name").as_deref(), Some("staging"));
        assert_eq!(of("process.pid"), Some(std::process::id().to_string()));
        assert_eq!(of("telemetry.sdk.language").as_deref(), Some("rust"));
    }
}
