import { Button, Divider, PasswordInput } from "@mantine/core";
import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import { formatAddress } from "../address/address";
import { navigate, useAddress, useTitle } from "../address/navigation";
import styles from "./SignIn.module.css";
import { organisationSignIn, readSession, signIn } from "./session";

/** Asks who is there, where reading needs it (spec 5.10). `to` is the path to go to then; null: stay. */
export function SignIn({ to }: { to: string | null }): ReactNode {
  const [signInUrl, setSignInUrl] = useState<string | null>(null);
  const failure = useSignInError();
  useTitle("Sign in");
  useEffect(() => {
    let isCurrent = true;
    void readSession().then((info) => isCurrent && setSignInUrl(info.signInUrl));
    return () => {
      isCurrent = false;
    };
  }, []);
  const here = formatAddress(useAddress());
  return (
    <main className={styles.page}>
      <div className={styles.ways}>
        <h1 className={styles.title}>Sign in</h1>
        {failure && (
          <p role="alert" className={styles.failure}>
            {failure}
          </p>
        )}
        {signInUrl && (
          <>
            <Button component="a" href={organisationSignIn(signInUrl, to ?? here)} fullWidth>
              Sign in with your organisation
            </Button>
            <Divider label="or" />
          </>
        )}
        <TokenForm isFirst={signInUrl === null} to={to} />
      </div>
    </main>
  );
}

function TokenForm({ isFirst, to }: { isFirst: boolean; to: string | null }): ReactNode {
  const [token, setToken] = useState("");
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isSending, setSending] = useState(false);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setSending(true);
    const why = await signIn(token.trim());
    setRefusal(why);
    setSending(false);
    if (why === null && to !== null) window.location.assign(to);
  }

  return (
    <form onSubmit={submit} className={styles.form}>
      <p className={styles.text}>Reading this record needs a token. Whoever runs the service can give you one.</p>
      <PasswordInput
        label="Read token"
        name="token"
        autoComplete="current-password"
        required
        autoFocus
        value={token}
        onChange={(event) => setToken(event.currentTarget.value)}
        error={refusal}
        visibilityToggleButtonProps={{ "aria-label": "Show the token" }}
      />
      <Button type="submit" variant={isFirst ? "filled" : "default"} loading={isSending} fullWidth>
        Sign in
      </Button>
    </form>
  );
}

/** Why signing in with the organisation failed, as the service left it in the address; it is taken out of there. */
function useSignInError(): string | null {
  const [failure] = useState(() => new URLSearchParams(window.location.search).get("signInError"));
  const address = useAddress();
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, for the address the reader arrived at
  useEffect(() => {
    if (failure !== null) navigate(address, { replace: true });
  }, []);
  return failure;
}
