package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;

/// What a rail tells whoever reads its completions, with the lock of the endpoint held.
interface RailEvents {
  /// A segment of a peer was given up by the provider after it had begun to arrive: nobody will say
  /// that it is here.
  ///
  /// @param bytes of it that did arrive
  /// @param immediate its immediate data, 0 where the provider leaves it out
  void segmentLost(int error, String words, long bytes, long immediate);

  /// A frame was sent; its memory is free.
  void frameSent(int frame);

  /// A frame arrived in the memory of a posted receive.
  void frameArrived(int receive, long bytes);

  /// A bare frame arrived in the memory of a posted receive.
  ///
  /// @param bytes of its payload
  void bareFrameArrived(int receive, long bytes, long immediate);

  /// A posted receive came back without a frame: the connection ended within one.
  void receiveLost(int receive);

  /// A segment was written to a peer; its source is free.
  void segmentWritten(Rail rail, int write);

  /// A segment of a peer has arrived whole.
  void segmentArrived(long immediate);

  /// The sending of a frame failed; the link is broken.
  void frameFailed(int frame, int error, String words);

  /// The writing of a segment failed; the link is broken.
  void writeFailed(Rail rail, int write, int error, String words);

  /// The endpoint itself failed.
  void endpointFailed(TransportException failure);
}
