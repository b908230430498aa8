package dev.lockstep.job;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/// Proofs that one side of a connection knows the job's token; see Note *handshake* at [Message].
final class Handshake {
  static final int NONCE_BYTES = 32;
  static final String RANK = "lockstep rank";
  static final String STORE = "lockstep store";

  private static final String ALGORITHM = "HmacSHA256";

  private Handshake() {}

  static Bytes nonce(SecureRandom random) {
    byte[] nonce = new byte[NONCE_BYTES];
    random.nextBytes(nonce);
    return new Bytes(nonce);
  }

  /// Returns HMAC-SHA256, keyed by the token, over role, version and both nonces.
  static Bytes proof(byte[] token, String role, Bytes rankNonce, Bytes storeNonce) {
    try {
      Mac mac = Mac.getInstance(ALGORITHM);
      mac.init(new SecretKeySpec(token, ALGORITHM));
      mac.update(role.getBytes(StandardCharsets.US_ASCII));
      mac.update((byte) 0);
      mac.update((byte) MessageCodec.VERSION);
      mac.update(rankNonce.array());
      mac.update(storeNonce.array());
      return new Bytes(mac.doFinal());
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("every JDK has HMAC-SHA256", e);
    }
  }
}
