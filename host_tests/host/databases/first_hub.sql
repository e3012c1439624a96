BEGIN TRANSACTION;
CREATE TABLE commands (
	seq INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	friendly_name VARCHAR(255), 
	file_id VARCHAR(36), 
	parameters JSON NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	message TEXT, 
	created_at FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
INSERT INTO "commands" VALUES(1,'10ec603e-8eb2-4217-afd3-e12eb7827e86','6485cbd6-ec5c-4d4a-8cad-8ec78759f11e','blink',NULL,NULL,'{"times": 2}','pending',NULL,1795262580.0,1795262580.0);
CREATE TABLE devices (
	id VARCHAR(36) NOT NULL, 
	key_hash VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	sn VARCHAR(255) NOT NULL, 
	mac VARCHAR(64), 
	cloud_id VARCHAR(255), 
	hardware_key VARCHAR(255) NOT NULL, 
	sub_model VARCHAR(255), 
	firmware_version VARCHAR(255) NOT NULL, 
	details JSON NOT NULL, 
	parent_id VARCHAR(36), 
	collection_id VARCHAR(14) NOT NULL, 
	space_version INTEGER NOT NULL, 
	device_space_version INTEGER, 
	info_version INTEGER NOT NULL, 
	config JSON NOT NULL, 
	config_version INTEGER NOT NULL, 
	config_updated FLOAT NOT NULL, 
	device_config_version INTEGER, 
	status VARCHAR(16), 
	state JSON NOT NULL, 
	message TEXT, 
	telemetry_at FLOAT, 
	cloud_settings JSON NOT NULL, 
	update_times JSON NOT NULL, 
	transport VARCHAR(8), 
	online BOOLEAN NOT NULL, 
	seen_at FLOAT, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (cloud_id), 
	FOREIGN KEY(collection_id) REFERENCES spaces (id)
);
INSERT INTO "devices" VALUES('6485cbd6-ec5c-4d4a-8cad-8ec78759f11e','238c8d8fffea8157104c4e204519c76461bbb8ce8467d6fa691b23d3127d08a8','Lamp 1','old-1','aa:01',NULL,'lamp',NULL,'1.0.0','{}',NULL,'47oopt6iom03g0',1,NULL,0,'{}',0,1795262400.0,NULL,'online','{"k": 2, "warm": true, "status": "online"}',NULL,1795262580.0,'{}','[]',NULL,0,NULL,1795262400.0);
INSERT INTO "devices" VALUES('7f4f17c2-3676-4e45-9bb1-8de617fddec3','de53f99d7b0cd44bba70afb1f0d74da910dd2d7af134ab015d4b681fe8f2ec37','Lamp 2','old-2','aa:02',NULL,'lamp',NULL,'1.0.0','{}',NULL,'kpnijhme8ikv0e',0,NULL,0,'{}',0,1795262400.0,NULL,NULL,'{"k": 7}',NULL,1795262580.0,'{}','[]',NULL,0,NULL,1795262400.0);
CREATE TABLE dumps (
	id VARCHAR(36) NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	mime VARCHAR(255) NOT NULL, 
	filename VARCHAR(255) NOT NULL, 
	length INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
CREATE TABLE meta (
	"key" VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('home','kpnijhme8ikv0e');
CREATE TABLE models (
	hardware_key VARCHAR(255) NOT NULL, 
	known BOOLEAN NOT NULL, 
	latest_fw_version VARCHAR(255), 
	latest_fw_file_id VARCHAR(36), 
	PRIMARY KEY (hardware_key)
);
CREATE TABLE spaces (
	id VARCHAR(14) NOT NULL, 
	space_id VARCHAR(255), 
	name VARCHAR(255) NOT NULL, 
	info JSON NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (space_id)
);
INSERT INTO "spaces" VALUES('kpnijhme8ikv0e',NULL,'Unclaimed','{}');
INSERT INTO "spaces" VALUES('47oopt6iom03g0','hall','Space hall','{}');
CREATE TABLE telemetry (
	seq INTEGER NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	received_at FLOAT NOT NULL, 
	timestamp FLOAT NOT NULL, 
	status VARCHAR(16), 
	message TEXT, 
	telemetries JSON NOT NULL, 
	override BOOLEAN NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
INSERT INTO "telemetry" VALUES(1,'6485cbd6-ec5c-4d4a-8cad-8ec78759f11e',1795262460.0,1795262460.0,'online',NULL,'{"k": 0, "warm": true, "status": "online"}',0);
INSERT INTO "telemetry" VALUES(2,'6485cbd6-ec5c-4d4a-8cad-8ec78759f11e',1795262520.0,1795262520.0,'online',NULL,'{"k": 1, "warm": true, "status": "online"}',0);
INSERT INTO "telemetry" VALUES(3,'6485cbd6-ec5c-4d4a-8cad-8ec78759f11e',1795262580.0,1795262580.0,'online',NULL,'{"k": 2, "warm": true, "status": "online"}',0);
INSERT INTO "telemetry" VALUES(4,'7f4f17c2-3676-4e45-9bb1-8de617fddec3',1795262580.0,1795262580.0,NULL,NULL,'{"k": 7}',0);
CREATE INDEX devices_by_presence ON devices (online, seen_at);
CREATE INDEX devices_by_mac ON devices (mac, sn);
CREATE INDEX telemetry_by_device ON telemetry (device_id, seq);
CREATE INDEX commands_by_device ON commands (device_id, status, seq);
CREATE INDEX dumps_by_device ON dumps (device_id);
COMMIT;
