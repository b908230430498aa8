package dev.lockstep.transport;

/// What went over a transport since it was opened, payload only.
///
/// @param messagesSent messages sent
/// @param bytesSent bytes sent
/// @param messagesReceived messages received
/// @param bytesReceived bytes received
/// @param bytesOpenedInPlace bytes of peers' memory that was opened to be used in place, each time
///   that it was; how often it is read then is not counted
public record TransportCounters(
    long messagesSent,
    long bytesSent,
    long messagesReceived,
    long bytesReceived,
    long bytesOpenedInPlace) {}
