/** Tells whoever shows an execution that it must be read again. */
export class Signals {
  private readonly listeners = new Map<() => void, string>();

  /** Call `listener` when something changed about the execution. Returns how to stop. */
  listen(uuid: string, listener: () => void): () => void {
    this.listeners.set(listener, uuid);
    return () => this.listeners.delete(listener);
  }

  emit(uuid: string): void {
    for (const [listener, listened] of this.listeners) if (listened === uuid) listener();
  }

  readonly emitAll = (): void => {
    for (const listener of this.listeners.keys()) listener();
  };
}
