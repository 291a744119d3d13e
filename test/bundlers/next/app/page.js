"use client";
import { useEffect, useState } from "react";
import { answers } from "../answers.js";

async function read(name) {
  const response = await fetch(`/${name}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** A client component, which Next renders on the server too. */
export default function Page() {
  const [text, setText] = useState("");
  useEffect(() => {
    answers(read)
      .then((all) => JSON.stringify(all), String)
      .then(setText);
  }, []);
  useEffect(() => {
    if (text !== "") document.title = "done";
  }, [text]);
  return <main>{text}</main>;
}
