import { Button, PasswordInput } from "@mantine/core";
import { type FormEvent, type ReactNode, useState } from "react";
import { useTitle } from "../address/navigation";
import styles from "./SignIn.module.css";
import { signIn } from "./session";

/** Asks for a read token where reading needs one (spec 5.10). */
export function SignIn(): ReactNode {
  const [token, setToken] = useState("");
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isSending, setSending] = useState(false);
  useTitle("Sign in");

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setSending(true);
    setRefusal(await signIn(token.trim()));
    setSending(false);
  }

  return (
    <main className={styles.page}>
      <form onSubmit={submit} className={styles.form}>
        <h1 className={styles.title}>Sign in</h1>
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
        <Button type="submit" loading={isSending} fullWidth>
          Sign in
        </Button>
      </form>
    </main>
  );
}
