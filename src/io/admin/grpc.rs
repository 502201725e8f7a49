//! `signalbox.v1.Rooms` over gRPC.

use std::time::Duration;

use axum::{
    Router,
    extract::Request as HttpRequest,
    response::{IntoResponse, Response as HttpResponse},
    routing::any,
};
use tonic::{Request, Response, Status};
use tower::Service;

use super::{AdminState, calls::Call};
use crate::protocol::{
    Code, Encoding,
    v1::{self, rooms_server},
};

/// The server of the IDL's service.
#[derive(Clone, Debug)]
pub struct GrpcRooms {
    state: AdminState,
}

pub(super) fn server(state: &AdminState) -> rooms_server::RoomsServer<GrpcRooms> {
    let limit = (state.parts.bounds)().limits.frame_bytes;
    rooms_server::RoomsServer::new(GrpcRooms { state: state.clone() }).max_decoding_message_size(limit)
}

/// The service at its paths. Unknown methods below them are answered by tonic.
pub(super) fn router(state: &AdminState) -> Router {
    let (state, timeout) = (state.clone(), state.parts.request_timeout);
    let path = format!("/{}/{{method}}", rooms_server::SERVICE_NAME);
    Router::new().route(&path, any(move |request| answer(server(&state), timeout, request)))
}

type Server = rooms_server::RoomsServer<GrpcRooms>;

/// A message that does not arrive as a whole must not wait for ever.
async fn answer(mut server: Server, timeout: Duration, request: HttpRequest) -> HttpResponse {
    match tokio::time::timeout(timeout, server.call(request)).await {
        Ok(Ok(response)) => response.into_response(),
        Ok(Err(never)) => match never {},
        Err(_) => {
            let why = format!("the call did not end within {} ms", timeout.as_millis());
            Code::DeadlineExceeded.because(why).to_status().into_http::<tonic::body::Body>().into_response()
        }
    }
}

impl GrpcRooms {
    async fn answer<C: Call>(&self, request: Request<C>) -> Result<Response<C::Answer>, Status> {
        let (metadata, extensions, call) = request.into_parts();
        let answered = async {
            let grant = self.state.admit(C::OPERATION, metadata.as_ref(), &extensions).await?;
            self.state.carry_out(grant, Encoding::Protobuf, call).await
        };
        answered.await.map(Response::new).map_err(|refusal| refusal.to_status())
    }
}

#[tonic::async_trait]
impl rooms_server::Rooms for GrpcRooms {
    async fn create_room(&self, request: Request<v1::CreateRoomRequest>) -> Result<Response<v1::RoomInfo>, Status> {
        self.answer(request).await
    }

    async fn list_rooms(
        &self,
        request: Request<v1::ListRoomsRequest>,
    ) -> Result<Response<v1::ListRoomsResponse>, Status> {
        self.answer(request).await
    }

    async fn get_room(&self, request: Request<v1::GetRoomRequest>) -> Result<Response<v1::RoomInfo>, Status> {
        self.answer(request).await
    }

    async fn delete_room(
        &self,
        request: Request<v1::DeleteRoomRequest>,
    ) -> Result<Response<v1::DeleteRoomResponse>, Status> {
        self.answer(request).await
    }

    async fn update_room(&self, request: Request<v1::UpdateRoomRequest>) -> Result<Response<v1::RoomInfo>, Status> {
        self.answer(request).await
    }

    async fn list_participants(
        &self,
        request: Request<v1::ListParticipantsRequest>,
    ) -> Result<Response<v1::ListParticipantsResponse>, Status> {
        self.answer(request).await
    }

    async fn get_participant(
        &self,
        request: Request<v1::GetParticipantRequest>,
    ) -> Result<Response<v1::ParticipantInfo>, Status> {
        self.answer(request).await
    }

    async fn remove_participant(
        &self,
        request: Request<v1::RemoveParticipantRequest>,
    ) -> Result<Response<v1::RemoveParticipantResponse>, Status> {
        self.answer(request).await
    }

    async fn update_participant(
        &self,
        request: Request<v1::UpdateParticipantRequest>,
    ) -> Result<Response<v1::ParticipantInfo>, Status> {
        self.answer(request).await
    }

    async fn mute_track(&self, request: Request<v1::MuteTrackRequest>) -> Result<Response<v1::Track>, Status> {
        self.answer(request).await
    }

    async fn send_data(&self, request: Request<v1::SendDataRequest>) -> Result<Response<v1::SendDataResponse>, Status> {
        self.answer(request).await
    }

    async fn get_user(&self, request: Request<v1::GetUserRequest>) -> Result<Response<v1::UserInfo>, Status> {
        self.answer(request).await
    }
}
