package dev.lockstep.transport;

/// What went over a transport since it was opened, payload only.
///
/// @param messagesSent messages sent
/// @param bytesSent bytes sent
/// @param messagesReceived messages received
/// @param bytesReceived bytes received
/// @param bytesReadInPlace bytes of peers' memory that was mapped and opened for reading in place
public record TransportCounters(
    long messagesSent,
    long bytesSent,
    long messagesReceived,
    long bytesReceived,
    long bytesReadInPlace) {}
