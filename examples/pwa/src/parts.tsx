/** Small parts that several places use. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "./engine.ts";
import { Icon, type IconName } from "./icons.tsx";
import { t } from "./messages.ts";

export interface ButtonProps {
  readonly icon?: IconName;
  readonly kind?: "main" | "plain" | "quiet" | "danger";
  readonly label?: string;
  readonly disabled?: boolean;
  readonly onClick: () => void;
  readonly children?: ComponentChildren;
}

/** A button with a text, an icon, or both; `label` names one without a text. */
export function Button({ icon, kind = "plain", label, disabled, onClick, children }: ButtonProps) {
  return (
    <button
      type="button"
      class={`button ${kind}${children === undefined ? " round" : ""}`}
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={onClick}
    >
      {icon && <Icon name={icon} />}
      {children !== undefined && <span>{children}</span>}
    </button>
  );
}

export interface FileButtonProps {
  readonly accept: string;
  readonly icon: IconName;
  readonly kind?: "main" | "plain" | "quiet";
  readonly label?: string;
  readonly multiple?: boolean;
  readonly onFiles: (files: readonly File[]) => void;
  readonly children?: ComponentChildren;
}

/** A button that lets choose files. */
export function FileButton({ accept, multiple = false, onFiles, ...more }: FileButtonProps) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button {...more} onClick={() => input.current!.click()} />
      <input
        ref={input}
        class="file"
        type="file"
        tabIndex={-1}
        aria-hidden="true"
        accept={accept}
        multiple={multiple}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          currentTarget.value = "";
          if (files.length > 0) onFiles(files);
        }}
      />
    </>
  );
}

/** How far something is; without an end it only moves. */
export function Bar({ share, label }: { readonly share?: number | undefined; readonly label: string }) {
  const known = share !== undefined && Number.isFinite(share);
  return (
    <div
      class={`bar${known ? "" : " unknown"}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(known && { "aria-valuenow": Math.round(100 * share) })}
    >
      <div style={{ inlineSize: known ? `${100 * Math.min(1, share)}%` : "30%" }} />
    </div>
  );
}

/** Addresses of the photos that are shown, by id. */
const addresses = new Map<string, { readonly url: Promise<string>; users: number }>();

function take(id: string): Promise<string> {
  const known = addresses.get(id) ?? { url: call("photo", { id }).then((blob) => URL.createObjectURL(blob)), users: 0 };
  ++known.users;
  addresses.set(id, known);
  return known.url;
}

function leave(id: string): void {
  const known = addresses.get(id)!;
  if (--known.users > 0) return;
  addresses.delete(id);
  void known.url.then(URL.revokeObjectURL, () => {});
}

/** A kept photo; it is read when it comes near the screen. */
export function Thumb({ id, alt }: { readonly id: string; readonly alt: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    let taken = false;
    let gone = false;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (!entry!.isIntersecting || taken) return;
        taken = true;
        observer.disconnect();
        take(id).then(
          (url) => !gone && setUrl(url),
          () => {},
        );
      },
      { rootMargin: "200px" },
    );
    observer.observe(box.current!);
    return () => {
      gone = true;
      observer.disconnect();
      if (taken) leave(id);
    };
  }, [id]);
  return (
    <div class="thumb" ref={box}>
      {url !== undefined && <img src={url} alt={alt} decoding="async" draggable={false} />}
    </div>
  );
}

/** One sentence and one button. */
export function Problem({ text, action }: { readonly text: string; readonly action?: ComponentChildren }) {
  return (
    <div class="problem" role="alert">
      <p>{text}</p>
      {action}
    </div>
  );
}

/** A choice of a few, as a row of buttons. */
export function Choice<Name extends string>({
  label,
  names,
  value,
  onChange,
}: {
  readonly label: string;
  readonly names: Readonly<Record<Name, string>>;
  readonly value: Name;
  readonly onChange: (name: Name) => void;
}) {
  return (
    <fieldset class="choice">
      <legend class="hidden">{label}</legend>
      {(Object.keys(names) as Name[]).map((name) => (
        <button type="button" key={name} aria-pressed={name === value} onClick={() => onChange(name)}>
          {names[name]}
        </button>
      ))}
    </fieldset>
  );
}

/** A page of a tab, with its heading. */
export function Page({
  title,
  back,
  tools,
  children,
}: {
  readonly title: string;
  readonly back?: () => void;
  readonly tools?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <div class="page">
      <header>
        {back && <Button icon="back" kind="quiet" label={t().back} onClick={back} />}
        <h1>{title}</h1>
        {tools}
      </header>
      {children}
    </div>
  );
}
