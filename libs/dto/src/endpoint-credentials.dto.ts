import { IsOptional, Matches } from 'class-validator';
import { ENDPOINT_ID } from './filter-patterns.js';
import { PageQueryDto } from './page.dto.js';

// What may stand in the first three is the domain's rule (receiver-auth.ts) and the endpoints' (certificates.ts), which name
// the field that is wrong: here they are only let through.

/** What to send in `authorization`: `type` and the fields that belong to it. */
export class AuthDto {
  /**
   * `none`; `basic`: a user name and a password; `bearer`: a token of the receiver's; `oauth2`: access tokens by client
   * credentials, fetched, kept until shortly before their end, and fetched anew when the receiver refuses one (401).
   * @example "oauth2"
   */
  type: 'none' | 'basic' | 'bearer' | 'oauth2';

  /**
   * Of `basic`: without a colon.
   * @example "posthorn"
   */
  username?: string;

  /**
   * Of `basic`.
   * @example "a-password-of-your-receiver"
   */
  password?: string;

  /**
   * Of `bearer`: what stands after `Bearer`.
   * @example "a-token-that-your-receiver-knows"
   */
  token?: string;

  /**
   * Of `oauth2`: where tokens are fetched. What holds for the endpoint's own URL holds for it.
   * @example "https://login.acme.example.com/oauth2/token"
   */
  tokenUrl?: string;

  /**
   * Of `oauth2`.
   * @example "posthorn"
   */
  clientId?: string;

  /**
   * Of `oauth2`.
   * @example "a-secret-of-your-token-server"
   */
  clientSecret?: string;

  /**
   * Of `oauth2`, optional: scopes separated by blanks.
   * @example "hooks.write"
   */
  scope?: string;

  /**
   * Of `oauth2`, optional: whom the token is for, where the token server wants to know.
   * @example "https://hooks.acme.example.com"
   */
  audience?: string;

  /**
   * Of `oauth2`: id and secret in `authorization` (`basic`) or in the form (`post`). Default: `basic`.
   * @example "basic"
   */
  clientAuth?: 'basic' | 'post';
}

/** One more header with a signature. */
export class SignatureHeaderDto {
  /**
   * Its name.
   * @example "x-hub-signature-256"
   */
  name: string;

  /**
   * `github`: `sha256=<hex>`, the HMAC-SHA256 of the body. `stripe`: `t=<unix seconds>,v1=<hex>`, the HMAC-SHA256 of
   * `<t>.<body>`, with a `v1` for each live secret. The key of both is the text of the secret, `whsec_` included.
   * @example "github"
   */
  format: 'github' | 'stripe';

  /**
   * The secret that your receiver has already, any text. Default: the signing secrets of the endpoint (`github`: the newest).
   * @example "a-secret-that-your-receiver-knows"
   */
  secret?: string | null;
}

/** Client certificate, its key, and an authority, all PEM of at most 16384 characters. */
export class TlsDto {
  /**
   * The certificate to show, its chain after it. Not one that has expired.
   * @example "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n"
   */
  clientCertificate?: string | null;

  /**
   * Its private key, not encrypted. Never shown again.
   * @example "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n"
   */
  clientKey?: string | null;

  /**
   * Who vouches for the receiver, INSTEAD of the public authorities: only certificates that these have signed are accepted.
   * @example "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n"
   */
  ca?: string | null;
}

/** What is sent in `authorization`, its secret masked. */
export class ShownAuthDto {
  /**
   * The kind; the fields are those that it was given.
   * @example "bearer"
   */
  type: 'basic' | 'bearer' | 'oauth2';

  /**
   * Of `basic`.
   * @example "posthorn"
   */
  username?: string;

  /**
   * Of `basic`, masked.
   * @example "••••••"
   */
  password?: string;

  /**
   * Of `bearer`, masked.
   * @example "••••••"
   */
  token?: string;

  /**
   * Of `oauth2`.
   * @example "https://login.acme.example.com/oauth2/token"
   */
  tokenUrl?: string;

  /**
   * Of `oauth2`.
   * @example "posthorn"
   */
  clientId?: string;

  /**
   * Of `oauth2`, masked.
   * @example "••••••"
   */
  clientSecret?: string;

  /**
   * Of `oauth2`, when there is one.
   * @example "hooks.write"
   */
  scope?: string;

  /**
   * Of `oauth2`, when there is one.
   * @example "https://hooks.acme.example.com"
   */
  audience?: string;

  /**
   * Of `oauth2`.
   * @example "basic"
   */
  clientAuth?: 'basic' | 'post';
}

/** One more header with a signature, its secret masked. */
export class ShownSignatureHeaderDto {
  /**
   * Its name.
   * @example "x-hub-signature-256"
   */
  name: string;

  /**
   * Its form.
   * @example "github"
   */
  format: 'github' | 'stripe';

  /**
   * Masked, when it has one of its own; null: the signing secrets of the endpoint sign.
   * @example null
   */
  secret: string | null;
}

/** What anybody may know of a certificate. */
export class CertificateDto {
  /**
   * Whose it is.
   * @example "CN=posthorn.acme.example.com"
   */
  subject: string;

  /**
   * Who signed it.
   * @example "CN=Acme Clients"
   */
  issuer: string;

  /**
   * From when it is valid.
   * @example "2026-11-01T00:00:00.000Z"
   */
  notBefore: Date;

  /**
   * Until when it is valid.
   * @example "2027-11-01T00:00:00.000Z"
   */
  notAfter: Date;

  /**
   * SHA-256 over the certificate.
   * @example "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B:2B:0B:82:2C:D1:5D:6C:15:B0:F0:0A:08"
   */
  fingerprint: string;
}

/** How TLS is spoken to an endpoint. */
export class ShownTlsDto {
  /** The certificate that we show; null: none. */
  clientCertificate: CertificateDto | null;

  /**
   * Its key, masked; null without a certificate.
   * @example "••••••"
   */
  clientKey: string | null;

  /** Who vouches for the receiver, instead of the public authorities; empty: those. */
  ca: CertificateDto[];
}

/** A public key of ed25519 as JWK (RFC 8037). */
export class JwkDto {
  /**
   * Always `OKP`.
   * @example "OKP"
   */
  kty: 'OKP';

  /**
   * Always `Ed25519`.
   * @example "Ed25519"
   */
  crv: 'Ed25519';

  /**
   * Always `EdDSA`.
   * @example "EdDSA"
   */
  alg: 'EdDSA';

  /**
   * Always `sig`.
   * @example "sig"
   */
  use: 'sig';

  /**
   * The id of the key: its thumbprint (RFC 7638). Requests name it in `posthorn-key-ids`.
   * @example "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
   */
  kid: string;

  /**
   * The key.
   * @example "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
   */
  x: string;
}

/** A public key that an endpoint's `v1a` signatures verify with. */
export class PublicKeyDto {
  /**
   * The id of the key: its thumbprint (RFC 7638). Requests name it in `posthorn-key-ids`.
   * @example "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
   */
  keyId: string;

  /**
   * As Standard Webhooks writes it.
   * @example "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
   */
  publicKey: string;

  /** The same for those who read JWKs. */
  jwk: JwkDto;

  /**
   * When it was made.
   * @example "2026-11-22T09:30:00.000Z"
   */
  createdAt: Date;

  /**
   * When it stops signing; null for the newest.
   * @example null
   */
  expiresAt: Date | null;
}

/** The public keys of an endpoint that sign now, newest first; at most 5. */
export class PublicKeysDto {
  /** Newest first. */
  data: PublicKeyDto[];
}

/** Which public keys. */
export class ListJwksQueryDto extends PageQueryDto {
  /**
   * Those of one endpoint, by its id: what a receiver asks for. Default: those of all endpoints that the key may see.
   * @example "ep_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  @IsOptional()
  @Matches(...ENDPOINT_ID)
  endpoint?: string;
}

/** A public key in a set, with the endpoint that it signs for. */
export class JwkOfEndpointDto extends JwkDto {
  /**
   * The endpoint whose deliveries it signs.
   * @example "ep_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  endpoint: string;
}

/** A JWK Set (RFC 7517), newest first. */
export class JwksDto {
  /** The keys of this page. */
  keys: JwkOfEndpointDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example null
   */
  nextCursor: string | null;
}
